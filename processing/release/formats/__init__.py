"""What a release is written in: manifest, layout, metadata, formats of pictures and meshes."""
