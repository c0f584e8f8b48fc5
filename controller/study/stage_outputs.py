"""The stages and outputs of the farm that the page shows, by name. A test holds them to what processing makes."""

SCAN, MESH, TEXTURE, DISPLACEMENT = (
    ("reconstruct", "scan"),
    ("register", "mesh"),
    ("texture", "texture"),
    ("bake", "displacement"),
)
# What is drawn in three dimensions, by the name under which the page knows it.
MODELS = {"scan": SCAN, "mesh": MESH, "texture": TEXTURE, "displacement": DISPLACEMENT}
# Without a done run of each, a take cannot leave in a release.
RELEASED_STAGES = tuple(stage for stage, _ in MODELS.values())
# Pictures for a person, in the order in which they are shown, and what is said of each.
PICTURES = {
    ("preview", "contact"): "photographs",
    ("preview", "scan"): "scan",
    ("reconstruct", "quality"): "scan: shaded, by how many cameras see each place, and the cameras themselves",
    ("preview", "mesh"): "registered mesh",
    ("register", "quality"): "registered mesh by region",
    ("preview", "textured"): "registered mesh with its texture",
    ("preview", "heat"): "distance of the registered mesh with its relief to the scan",
    ("preview", "landmarks"): "landmarks, projected into photographs",
    ("preview", "displacement"): "displacement map",
}
RIG_PICTURE = ("blendshapes", "quality")  # of a subject, over all its takes: its 52 units as a sheet
RIG = ("blendshapes", "rig")  # its neutral and its 52 units, by numbers
STAGES = ("reconstruct", "landmarks", "register", "texture", "bake", "preview")  # as a take goes through them
