"""Data card of a release, README.md: Hugging Face's form, front matter for its Hub and the rest for people.

Form: huggingface.co/docs/hub/datasets-cards and datasets-gated. Releases of people ask whoever wants them for name,
institution and agreement; synthetic ones ask for nothing.
"""

from typing import Any

import yaml

from processing.release.formats.metadata.release_description import ReleaseFacts
from processing.release.formats.metadata.responsible_ai import ReleaseCounts, count_phrase, field_text, rai_fields
from processing.release.formats.released_files import (
    CONVENTIONS,
    CROISSANT,
    DATASHEET,
    HISTOGRAM,
    LICENCE,
    SUBJECTS,
    TAKES,
)

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SECTIONS = (
    ("How it was collected", "dataCollection"),
    ("How it was processed", "dataPreprocessingProtocol"),
    ("Annotations", "dataAnnotationProtocol"),
    ("Personal and sensitive information", "personalSensitiveInformation"),
    ("Uses", "dataUseCases"),
    ("Social impact", "dataSocialImpact"),
    ("Biases", "dataBiases"),
    ("Limitations", "dataLimitations"),
    ("Maintenance and withdrawals", "dataReleaseMaintenancePlan"),
)


def data_card(facts: ReleaseFacts, figures: ReleaseCounts) -> str:
    """README.md."""
    fields = rai_fields(facts.about, figures)
    head = yaml.safe_dump(_front_matter(facts, figures), sort_keys=False, allow_unicode=True, width=110)
    parts = [f"---\n{head}---\n", f"# {facts.title}\n", f"{facts.description}\n"]
    contact = f" Contact: {facts.about.contact}." if facts.about.contact else ""
    parts.append(
        f"Version {facts.version} of `{facts.name}`, by {', '.join(facts.about.made_by)}.{contact} "
        f"{count_phrase(figures.subjects, 'subject')}, {count_phrase(figures.takes, 'expression')}, "
        f"{count_phrase(figures.photographs, 'photograph')}. "
        f"Terms: {facts.licence} (`{LICENCE.path}`).\n"
    )
    parts.append(f"![Age and gender]({HISTOGRAM.path})\n")
    parts.append(
        f"What is where, units and frames: `{DATASHEET.path}`; for programs `{CONVENTIONS.path}`, "
        f"`{CROISSANT.path}`. Every "
        "file has its SHA-256 in `manifest.json`; `mien release verify` compares them.\n"
    )
    parts.append(_LOADING.format(name=facts.name, version=facts.version))
    parts += [f"## {title}\n\n{field_text(fields, key)}\n" for title, key in _SECTIONS]
    if facts.about.ethics_approval:
        parts.append(f"## Ethics\n\n{facts.about.ethics_approval}\n")
    if facts.about.funding:
        parts.append(f"## Funding\n\n{facts.about.funding}\n")
    parts.append(f"## Citation\n\n{facts.citation}\n")
    return "\n".join(parts)


def _front_matter(facts: ReleaseFacts, figures: ReleaseCounts) -> dict[str, Any]:
    about = facts.about
    known = bool(about.licence_id) and not about.licence_id.startswith("LicenseRef")
    licence: dict[str, Any] = {"license": about.licence_id.lower()} if known else {
        "license": "other", "license_name": _slug(about.licence_id or facts.name), "license_link": LICENCE.path,
    }  # fmt: skip
    head: dict[str, Any] = {
        "pretty_name": facts.title,
        **licence,
        "task_categories": ["image-to-3d", "depth-estimation", "image-feature-extraction"],
        "tags": ["3d", "croissant", *(word.lower() for word in about.keywords)],
        "size_categories": [next((name for limit, name in _SIZES if figures.takes < limit), "1M<n<10M")],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "configs": [
            {"config_name": "takes", "data_files": TAKES.path, "default": True},
            {"config_name": "subjects", "data_files": SUBJECTS.path},
        ],
    }
    if figures.synthetic:
        head["tags"].append("synthetic")
        return head
    return head | {
        "extra_gated_heading": "These are faces of real people: access is by signed licence",
        "extra_gated_prompt": (
            "You ask for biometric data of people who consented to research under a licence. You will not identify, "
            "trace or imitate them, will not pass the data on, and will delete what the studio names when a subject "
            "withdraws. Send the signed licence to the studio; access is given to institutions, for a term."
        ),
        "extra_gated_fields": {
            "Name": "text",
            "Institution": "text",
            "Country": "country",
            "Address of the institution's page about you": "text",
            "Purpose": "text",
            "I have signed the licence and agree to its terms": "checkbox",
        },
        "extra_gated_button_content": "Ask for access",
    }


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")


_LOADING = """## Loading

```python
import mlcroissant

takes = mlcroissant.Dataset(jsonld="croissant.json").records(record_set="takes")

from processing.release.dataset import ReleaseDataset  # pip install 'mien[release]'

faces = ReleaseDataset("{name}-{version}", parts=("vertices", "displacement"), frame="template")
```
"""
