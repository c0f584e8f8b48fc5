"""Face models: personal blendshapes, the bilinear model of a study, fits to scans."""
