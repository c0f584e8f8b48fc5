"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("about_kind", sa.String(length=32), nullable=False),
        sa.Column("about_id", sa.String(length=64), nullable=False),
        sa.Column("detail", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index("ix_audit_event_about", ["about_kind", "about_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_at"), ["at"], unique=False)

    op.create_table(
        "protocol",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_protocol_version_from_1")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protocol")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_protocol_name_version")),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "building",
                "complete",
                "failed",
                name="release_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("consent_day", sa.Date(), nullable=False),
        sa.Column("criteria", JSON, nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.String(length=1000), nullable=True),
        sa.CheckConstraint(
            "state <> 'complete' OR manifest_sha256 IS NOT NULL", name=op.f("ck_release_complete_has_manifest")
        ),
        sa.CheckConstraint(
            "length(manifest_sha256) = 64 and manifest_sha256 = lower(manifest_sha256)",
            name=op.f("ck_release_manifest_sha256_hex"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_release_version_from_1")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
    )
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.create_index(
            "uq_release_name_version",
            ["name", "version"],
            unique=True,
            sqlite_where=sa.text("state <> 'failed'"),
            postgresql_where=sa.text("state <> 'failed'"),
        )

    op.create_table(
        "rig",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rig")),
        sa.UniqueConstraint("name", name=op.f("uq_rig_name")),
    )
    op.create_table(
        "subject",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("age", sa.Integer(), nullable=True),
        sa.Column(
            "gender",
            sa.Enum("female", "male", "other", name="gender", native_enum=False, create_constraint=True, length=24),
            nullable=True,
        ),
        sa.Column("job", sa.String(length=100), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("age between 0 and 120", name=op.f("ck_subject_age_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject")),
        sa.UniqueConstraint("code", name=op.f("uq_subject_code")),
    )
    op.create_table(
        "calibration",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rig_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["rig_id"], ["rig.id"], name=op.f("fk_calibration_rig_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibration")),
        sa.UniqueConstraint("rig_id", "version", name=op.f("uq_calibration_rig_id_version")),
    )
    op.create_table(
        "camera",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rig_id", sa.Integer(), nullable=False),
        sa.Column("view_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=True),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column(
            "tier",
            sa.Enum("frontal", "side", name="camera_tier", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.CheckConstraint("view_index >= 0", name=op.f("ck_camera_view_from_0")),
        sa.ForeignKeyConstraint(["rig_id"], ["rig.id"], name=op.f("fk_camera_rig_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_camera")),
        sa.UniqueConstraint("rig_id", "name", name=op.f("uq_camera_rig_id_name")),
        sa.UniqueConstraint("rig_id", "view_index", name=op.f("uq_camera_rig_id_view_index")),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column(
            "scope",
            sa.Enum(
                "research_release",
                "publication",
                name="consent_scope",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("document_sha256", sa.String(length=64), nullable=True),
        sa.Column("given_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "length(document_sha256) = 64 and document_sha256 = lower(document_sha256)",
            name=op.f("ck_consent_document_sha256_hex"),
        ),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_consent_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.create_index(
            "uq_consent_open",
            ["subject_id", "scope"],
            unique=True,
            sqlite_where=sa.text("withdrawn_at IS NULL"),
            postgresql_where=sa.text("withdrawn_at IS NULL"),
        )

    op.create_table(
        "protocol_expression",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("protocol_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("instruction", sa.Text(), nullable=False),
        sa.CheckConstraint("position >= 1", name=op.f("ck_protocol_expression_position_from_1")),
        sa.ForeignKeyConstraint(["protocol_id"], ["protocol.id"], name=op.f("fk_protocol_expression_protocol_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protocol_expression")),
        sa.UniqueConstraint("protocol_id", "name", name=op.f("uq_protocol_expression_protocol_id_name")),
        sa.UniqueConstraint("protocol_id", "position", name=op.f("uq_protocol_expression_protocol_id_position")),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=24), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("protocol_id", sa.Integer(), nullable=False),
        sa.Column("rig_id", sa.Integer(), nullable=False),
        sa.Column("calibration_id", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "open", "paused", "closed", name="session_state", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["calibration_id"], ["calibration.id"], name=op.f("fk_session_calibration_id")),
        sa.ForeignKeyConstraint(["protocol_id"], ["protocol.id"], name=op.f("fk_session_protocol_id")),
        sa.ForeignKeyConstraint(["rig_id"], ["rig.id"], name=op.f("fk_session_rig_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_session_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("code", name=op.f("uq_session_code")),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.create_index("ix_session_state", ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_session_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "take",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("expression_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "planned",
                "fired",
                "captured",
                "accepted",
                "superseded",
                "failed",
                name="take_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("command_skew_ms", sa.Double(), nullable=True),
        sa.Column("clock_uncertainty_ms", sa.Double(), nullable=True),
        sa.Column("exposure_skew_ms", sa.Double(), nullable=True),
        sa.Column(
            "exposure_source",
            sa.Enum(
                "hot_shoe",
                "optical",
                "simulated",
                "not_measured",
                name="exposure_source",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_take_attempt_from_1")),
        sa.ForeignKeyConstraint(["expression_id"], ["protocol_expression.id"], name=op.f("fk_take_expression_id")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_take_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_take")),
        sa.UniqueConstraint("code", name=op.f("uq_take_code")),
        sa.UniqueConstraint(
            "session_id", "expression_id", "attempt", name=op.f("uq_take_session_id_expression_id_attempt")
        ),
    )
    with op.batch_alter_table("take", schema=None) as batch_op:
        batch_op.create_index("ix_take_state", ["state"], unique=False)
        batch_op.create_index(
            "uq_take_accepted",
            ["session_id", "expression_id"],
            unique=True,
            sqlite_where=sa.text("state = 'accepted'"),
            postgresql_where=sa.text("state = 'accepted'"),
        )

    op.create_table(
        "frame",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("exposed_at_ns", sa.BigInteger(), nullable=True),
        sa.Column("command_error_ms", sa.Double(), nullable=True),
        sa.CheckConstraint("bytes > 0 and width > 0 and height > 0", name=op.f("ck_frame_not_empty")),
        sa.CheckConstraint("length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_frame_sha256_hex")),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_frame_camera_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_frame_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame")),
        sa.UniqueConstraint("take_id", "camera_id", name=op.f("uq_frame_take_id_camera_id")),
    )
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_frame_sha256"), ["sha256"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=48), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("params", JSON, nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=True),
        sa.Column("take_id", sa.Integer(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "leased",
                "done",
                "failed",
                "parked",
                name="job_state",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("worker", sa.String(length=100), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(key) = 64 and key = lower(key)", name=op.f("ck_job_key_hex")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_job_subject_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_job_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("key", name=op.f("uq_job_key")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index("ix_job_claim", ["state", "priority", "id"], unique=False)
        batch_op.create_index("ix_job_stage_state", ["stage", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_job_subject_id"), ["subject_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_job_take_id"), ["take_id"], unique=False)

    op.create_table(
        "release_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("photographs", sa.Boolean(), nullable=False),
        sa.Column("publishable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_release_item_release_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_release_item_subject_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_release_item_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_item")),
        sa.UniqueConstraint("release_id", "take_id", name=op.f("uq_release_item_release_id_take_id")),
    )
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_release_item_subject_id"), ["subject_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_release_item_take_id"), ["take_id"], unique=False)

    op.create_table(
        "artefact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("output", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("media", sa.String(length=80), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("bytes >= 0", name=op.f("ck_artefact_size")),
        sa.CheckConstraint("length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_artefact_sha256_hex")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_artefact_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artefact")),
        sa.UniqueConstraint("job_id", "output", name=op.f("uq_artefact_job_id_output")),
    )
    with op.batch_alter_table("artefact", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_artefact_sha256"), ["sha256"], unique=False)

    op.create_table(
        "job_input",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("from_job_id", sa.Integer(), nullable=True),
        sa.Column("from_output", sa.String(length=64), nullable=True),
        sa.CheckConstraint("length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_job_input_sha256_hex")),
        sa.CheckConstraint(
            "sha256 IS NOT NULL OR (from_job_id IS NOT NULL AND from_output IS NOT NULL)",
            name=op.f("ck_job_input_has_source"),
        ),
        sa.ForeignKeyConstraint(["from_job_id"], ["job.id"], name=op.f("fk_job_input_from_job_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_input_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_input")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_job_input_job_id_name")),
    )
    with op.batch_alter_table("job_input", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_input_from_job_id"), ["from_job_id"], unique=False)

    op.create_table(
        "job_take",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_take_job_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_job_take_take_id")),
        sa.PrimaryKeyConstraint("job_id", "take_id", name=op.f("pk_job_take")),
    )
    with op.batch_alter_table("job_take", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_take_take_id"), ["take_id"], unique=False)

    op.create_table(
        "artefact_parent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("artefact_id", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("frame_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("(parent_id IS NULL) <> (frame_id IS NULL)", name=op.f("ck_artefact_parent_one_parent")),
        sa.CheckConstraint("parent_id <> artefact_id", name=op.f("ck_artefact_parent_not_itself")),
        sa.ForeignKeyConstraint(["artefact_id"], ["artefact.id"], name=op.f("fk_artefact_parent_artefact_id")),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_artefact_parent_frame_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["artefact.id"], name=op.f("fk_artefact_parent_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artefact_parent")),
        sa.UniqueConstraint("artefact_id", "frame_id", name=op.f("uq_artefact_parent_artefact_id_frame_id")),
        sa.UniqueConstraint("artefact_id", "parent_id", name=op.f("uq_artefact_parent_artefact_id_parent_id")),
    )
    with op.batch_alter_table("artefact_parent", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_artefact_parent_frame_id"), ["frame_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_artefact_parent_parent_id"), ["parent_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("artefact_parent", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_artefact_parent_parent_id"))
        batch_op.drop_index(batch_op.f("ix_artefact_parent_frame_id"))

    op.drop_table("artefact_parent")
    with op.batch_alter_table("job_take", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_take_take_id"))

    op.drop_table("job_take")
    with op.batch_alter_table("job_input", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_input_from_job_id"))

    op.drop_table("job_input")
    with op.batch_alter_table("artefact", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_artefact_sha256"))

    op.drop_table("artefact")
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_release_item_take_id"))
        batch_op.drop_index(batch_op.f("ix_release_item_subject_id"))

    op.drop_table("release_item")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_take_id"))
        batch_op.drop_index(batch_op.f("ix_job_subject_id"))
        batch_op.drop_index("ix_job_stage_state")
        batch_op.drop_index("ix_job_claim")

    op.drop_table("job")
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_frame_sha256"))

    op.drop_table("frame")
    with op.batch_alter_table("take", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_take_accepted",
            sqlite_where=sa.text("state = 'accepted'"),
            postgresql_where=sa.text("state = 'accepted'"),
        )
        batch_op.drop_index("ix_take_state")

    op.drop_table("take")
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_session_subject_id"))
        batch_op.drop_index("ix_session_state")

    op.drop_table("session")
    op.drop_table("protocol_expression")
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_consent_open",
            sqlite_where=sa.text("withdrawn_at IS NULL"),
            postgresql_where=sa.text("withdrawn_at IS NULL"),
        )

    op.drop_table("consent")
    op.drop_table("camera")
    op.drop_table("calibration")
    op.drop_table("subject")
    op.drop_table("rig")
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_release_name_version",
            sqlite_where=sa.text("state <> 'failed'"),
            postgresql_where=sa.text("state <> 'failed'"),
        )

    op.drop_table("release")
    op.drop_table("protocol")
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_event_at"))
        batch_op.drop_index("ix_audit_event_about")

    op.drop_table("audit_event")
