"""Bodies of the API's requests."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """Base of all bodies; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")
