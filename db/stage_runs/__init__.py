"""Jobs of the farm, their artefacts, and what people said of them."""
