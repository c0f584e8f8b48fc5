"""The whole snapshot, section by section."""

from typing import Any

from controller.console.state.camera_section import CameraSection
from controller.console.state.known_values import without_none
from controller.console.state.plain_bar import plain_bar
from controller.console.state.rig_sections import preflight_section, rig_section, server_section
from controller.console.state.session_sections import neutral_section, paused_section, session_section
from controller.console.state.take_sections import take_sections
from controller.rig_file import DEFAULT_PROFILE
from controller.sessions.consent_text import consent_text
from controller.studio import Studio
from db.engine import utc_now


class Snapshot:
    """Composes what the page shows of one studio. For one thread at a time."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._cameras = CameraSection(studio)
        self._started = utc_now().isoformat()

    def compose(self) -> dict[str, Any]:
        """Everything, as it is now. Raises RecordError while the records cannot be read."""
        studio = self._studio
        code = studio.open_session()
        state = studio.state_of(code) if code is not None else None
        take, seen = take_sections(studio, state)
        cameras = self._cameras.compose(seen, state.profile if state is not None else DEFAULT_PROFILE)
        session = session_section(studio, state, consent_text(state)) if state is not None else None
        paused = paused_section(studio)
        trouble = studio.ingest.trouble or studio.lights.trouble
        found = {
            "rig": rig_section(studio),
            "bar": plain_bar(cameras, session, take, trouble, bool(paused)),
            "faults": {},
            "cameras": cameras,
            "session": session,
            "take": take,
            "neutral": neutral_section(studio, state) if state is not None else None,
            "preflight": preflight_section(studio),
            "jobs": {},
            "paused": paused,
            "server": server_section(studio, self._started),
        }
        return dict(without_none(found))
