"""Personal blendshapes: a subject's registered expressions made into a rig of ARKit's 52 units."""
