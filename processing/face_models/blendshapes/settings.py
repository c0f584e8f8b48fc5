"""What the making of a rig assumes of people, and how hard it holds them to it."""

from dataclasses import dataclass

from processing.errors import DataError


class RigSettingsError(DataError):
    """The settings make no sense."""


@dataclass(frozen=True)
class RigSettings:
    """Priors of weights and shapes. Spreads are standard deviations."""

    performed: float = 0.93  # of its recipe, an expression is performed on average
    main_spread: float = 0.02  # of the weights of an expression's main units, relative
    secondary_spread: float = 0.1  # ... of the others of its recipe
    companion_spread: float = 0.3  # of the weights of units that come along
    sides_spread: float = 0.05  # between both sides of what comes along
    sparsity: float = 10.0  # cost of a weight of 1 of what comes along, in units of log likelihood
    gain_spread: float = 0.2  # of a person's unit, all of it alike, relative
    field_spread: float = 0.25  # ... changing smoothly over the face
    point_spread: float = 0.15  # ... from place to place
    noise_mm: float = 0.04  # of any registered mesh, besides what its still skin shows
    noise_reach: float = 5.0  # how much more of it smooth shapes give way to: a mesh's errors are smooth too
    shape_doubt: float = 0.2  # share of a place's motion by which the shapes are in doubt while weights are found
    doubt_floor_mm: float = 0.1  # and by how much everywhere
    samples: float = 60.0  # independent measurements that the whole face is worth for the weights
    rounds: int = 4  # of weights and shapes
    #: Residual at which shapes give way, mm, in the first and the last round: the regularisation falls between them
    #: as the square of it, by a factor of 11.
    shape_residual_mm: tuple[float, float] = (1.0, 0.3)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not all(v > 0 for v in (value if isinstance(value, tuple) else (value,))):
                raise RigSettingsError(f"rig settings: {name} is {value}; wanted above 0")
        if self.performed > 1:
            raise RigSettingsError(f"rig settings: performed is {self.performed}; wanted at most 1")
