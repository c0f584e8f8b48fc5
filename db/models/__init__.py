"""The tables, by what they are about."""

from db.models.account import Account, ConsoleRole, ConsoleSession, LinkKind, OneTimeLink, Passkey
from db.models.audit import AuditEvent
from db.models.base import Base
from db.models.camera_aside import CameraAside
from db.models.camera_report import BodyVerdict, CameraReport
from db.models.capture import (
    AbsenceKind,
    CaptureSession,
    ExposureSource,
    Frame,
    RawFile,
    SessionState,
    SkippedExpression,
    Take,
    TakeAbsence,
    TakeState,
)
from db.models.decision import ActKind, FormerTakeCode, SessionAct
from db.models.erasure import Erasure, ErasureFile
from db.models.face_model import FaceModel, FaceModelMember, Leaving
from db.models.farm import Artefact, ArtefactParent, Job, JobInput, JobState, JobSubject, JobTake
from db.models.holder import Fetch, Grant, Notice, Recipient, SignedLicence, Way
from db.models.identity import StudioIdentity
from db.models.learned import Learned, LearnedKind, LearnedSubject
from db.models.people import (
    Consent,
    ConsentScope,
    Gender,
    RetentionTerm,
    Subject,
    SubjectChange,
    TakeWithdrawal,
)
from db.models.personal import Personal
from db.models.protocol import Protocol, ProtocolExpression
from db.models.release import Release, ReleaseItem, ReleaseModel, ReleaseState
from db.models.review import CheckState, FrameMeasure, TakeCheck, TakeReview
from db.models.rig import Calibration, Camera, CameraTier, Rig, ShutterLag
from db.models.run_review import RunReview, RunVerdict

__all__ = [
    "AbsenceKind",
    "Account",
    "ActKind",
    "Artefact",
    "ArtefactParent",
    "AuditEvent",
    "Base",
    "BodyVerdict",
    "Calibration",
    "Camera",
    "CameraAside",
    "CameraReport",
    "CameraTier",
    "CaptureSession",
    "CheckState",
    "Consent",
    "ConsentScope",
    "ConsoleRole",
    "ConsoleSession",
    "Erasure",
    "ErasureFile",
    "ExposureSource",
    "FaceModel",
    "FaceModelMember",
    "Fetch",
    "FormerTakeCode",
    "Frame",
    "FrameMeasure",
    "Gender",
    "Grant",
    "Job",
    "JobInput",
    "JobState",
    "JobSubject",
    "JobTake",
    "Learned",
    "LearnedKind",
    "LearnedSubject",
    "Leaving",
    "LinkKind",
    "Notice",
    "OneTimeLink",
    "Passkey",
    "Personal",
    "Protocol",
    "ProtocolExpression",
    "RawFile",
    "Recipient",
    "Release",
    "ReleaseItem",
    "ReleaseModel",
    "ReleaseState",
    "RetentionTerm",
    "Rig",
    "RunReview",
    "RunVerdict",
    "SessionAct",
    "SessionState",
    "ShutterLag",
    "SignedLicence",
    "SkippedExpression",
    "StudioIdentity",
    "Subject",
    "SubjectChange",
    "Take",
    "TakeAbsence",
    "TakeCheck",
    "TakeReview",
    "TakeState",
    "TakeWithdrawal",
    "Way",
]
