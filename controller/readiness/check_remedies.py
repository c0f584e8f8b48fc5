"""What to do about a line of the preflight: the same remedies as those of the faults, by the check's name."""

from controller.preflight.preflight import PreflightCheck
from controller.readiness import remedies
from controller.readiness.fault import Remedy


def check_remedy(check: PreflightCheck, profile: str) -> Remedy | None:
    """For a check that is not well; None for one that is, or that nobody can do anything about."""
    if check.level == "ok":
        return None
    cameras = tuple(sorted(check.cameras))
    match check.name:
        case "cameras":
            return remedies.recover(
                "Look at power and cable of each, and at its computer; recover it, or set it aside", cameras
            )
        case "aside":
            return Remedy("Bring one back once it works", "back", cameras, f"mien rig back {' '.join(cameras)}")
        case "settings":
            return remedies.preflight("Put each body right, then run the preflight once more", profile)
        case "battery" | "frames left" if check.level == "warning":
            return Remedy("Nothing here says it: look at the bodies that do not")
        case "battery":
            return remedies.body("Change or look at the battery", cameras)
        case "frames left":
            return remedies.body("Empty, change or look at the card", cameras)
        case "focus mode":
            return remedies.preflight("Set the lens or the body to manual focus, then once more", profile)
        case "clock":
            return Remedy("Wait some seconds. If it stays so: who else uses the cameras' network?")
        case "real time":
            return Remedy("Allow the nodes real-time scheduling (LimitRTPRIO in their unit)")
        case "node disk" | "studio disk" | "filing":
            return Remedy("Make room there")
        case "lights":
            return Remedy("Look at the lights' network, and at 'interface' in [lights] of rig.toml", "scene")
        case "calibration":
            return Remedy("Photograph the board, then calibrate", "calibrate", (), "mien rig calibration FILE")
        case "photographs":
            return remedies.recover("Recover it, which fetches the photograph, or write it off", cameras)
        case "strays":
            return Remedy("Look into strays/ of the spool")
        case "recovered":
            return remedies.body("Change its cable, or set it aside", cameras)
    return None
