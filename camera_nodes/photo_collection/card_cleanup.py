"""The copies on the card of what the node has spooled: deleted once the studio has stored them, never before."""

import hashlib
import logging
from contextlib import suppress

from camera_nodes.camera import BodyFile
from camera_nodes.errors import CameraFault, EquipmentError, FileGone, FileNotDeleted, SpoolError
from camera_nodes.photo_collection.collection_state import CollectionState
from camera_nodes.photo_collection.exposure_journal import CardFile, FileState
from camera_nodes.photo_collection.unread_files import UnreadFiles, read_whole
from common.photograph_facts import PhotographFacts, entry_key

log = logging.getLogger(__name__)


class CardCleanup:
    """See the module."""

    def __init__(self, collection: CollectionState, unread: UnreadFiles) -> None:
        self._collection = collection
        self._unread = unread

    def offer_again(self) -> None:
        """Files that left the spool and of which it was not written down whether the studio stored them: ask it."""
        for exposure in self._collection.journal.exposures:
            for file in exposure.files:
                if file.state != "spooled" or file.copy or file.kind == "other":
                    continue
                if self._collection.spool.holds(entry_key(exposure.fire_id, self._collection.name, file.kind)):
                    continue
                file.state = "kept"
                with suppress(CameraFault, SpoolError):
                    data = read_whole(self._collection.camera, BodyFile(file.folder, file.name))
                    if hashlib.sha256(data).hexdigest() == file.sha256:
                        self._collection.put(exposure, file.name, file.kind, data)
                        file.state = "spooled"

    def stored(self, entry: PhotographFacts) -> None:
        """The studio has stored it: the card's copies may go, at the next quiet moment."""
        found = self._collection.journal.find(entry.fire_id)
        for file in found.files if found is not None else ():
            if file.sha256 == entry.sha256 and file.state == "spooled":
                file.state = "stored"
        self._collection.save(durable=False)

    def rejected(self, entry: PhotographFacts, reason: str) -> None:
        """The studio has no use for it as it is: once more from the card, where it is still."""
        exposure = self._collection.journal.find(entry.fire_id)
        file = next((f for f in exposure.files if f.sha256 == entry.sha256 and not f.copy), None) if exposure else None
        if exposure is None or file is None or file.state in ("kept", "deleted"):
            return
        file.state = "kept"
        try:
            data = read_whole(self._collection.camera, BodyFile(file.folder, file.name))
        except EquipmentError as error:
            log.warning("%s: %s was not read again: %s", self._collection.name, file.path, error)
            data = b""
        if data and hashlib.sha256(data).hexdigest() != file.sha256:
            again = self._collection.put(exposure, file.name, entry.kind, data)
            file.sha256, file.bytes, file.state = again.sha256, again.bytes, "spooled"
        else:
            text = f"{entry.take_id}: {file.path} stays on the card: the studio rejected it: {reason}"
            self._collection.tell("rejected", text, take_id=entry.take_id)
        self._collection.save()

    def tidy(self) -> None:
        """Delete from the card what the studio has stored."""
        acted = False
        for exposure in self._collection.journal.exposures:
            for file in exposure.files:
                if file.state != "stored" or self._unread.holds(file.path):
                    continue
                if (newer := self._collection.journal.ours(file.path)) is not None and newer[1] is not file:
                    file.state, acted = "deleted", True  # the body has written over it
                    continue
                file.state, acted = self._delete(file), True
        if acted:
            self._collection.save()

    def _delete(self, file: CardFile) -> FileState:
        try:
            gone = self._collection.camera.delete(BodyFile(file.folder, file.name, file.bytes))
        except FileGone:
            return "deleted"
        except FileNotDeleted as error:
            self._collection.tell("not_deleted", f"{file.path} is stored and stays on the card: {error}")
            return "kept"
        return "deleted" if gone else "kept"
