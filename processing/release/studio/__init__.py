"""What a studio does with releases: select, build, publish, grant, serve."""
