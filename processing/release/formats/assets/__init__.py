"""What is in the files of a release: meshes, maps, pictures and their profiles."""
