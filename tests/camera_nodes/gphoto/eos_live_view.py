"""Live view of a Canon EOS body over PTP/IP by libgphoto2's own driver, in a process of its own: it has one bus.

    python eos_live_view.py ADDRESS

Prints the sizes of two frames and what came after: one JSON object.
"""

import json
import sys

import gphoto2 as gp

from camera_nodes.errors import CameraFault
from camera_nodes.gphoto import live_view


def main() -> None:
    camera = gp.Camera()
    abilities = gp.CameraAbilitiesList()
    abilities.load()
    camera.set_abilities(abilities[abilities.lookup_model("PTP/IP Camera")])
    ports = gp.PortInfoList()
    ports.load()
    camera.set_port_info(ports[ports.lookup_path(f"ptpip:{sys.argv[1]}")])

    def call(name, *arguments):
        try:
            return getattr(camera, name)(*arguments)
        except gp.GPhoto2Error as error:
            raise CameraFault(str(error)) from None

    call("init")
    frames = [live_view.preview(call, "eos") for _ in range(2)]
    live_view.end_preview(call)
    call("trigger_capture")
    call("exit")
    print(json.dumps({"frames": [len(frame) for frame in frames]}))


main()
