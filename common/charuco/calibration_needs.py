"""What a calibration needs of each camera's photographs of the board; asked while they are made, and at the end."""

FEWEST_CORNERS = 8  # in a photograph, or nothing is used of it
FEWEST_POSES = 3  # with fewer a camera cannot be placed
GOOD_POSES = 15  # from so many it is known well
CELLS = 10  # a picture is divided into so many by so many cells
LEAST_COVERED = 0.25  # share of them with corners; the lens is unknown in the rest
