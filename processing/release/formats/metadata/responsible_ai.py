"""Responsible-AI fields, terms of use and provenance: what a release says of itself to a reviewer.

Vocabularies: Croissant RAI 1.0 (mlcommons.org/croissant/RAI/1.0), the Data Use Ontology (Lawson et al. 2021) and W3C
ODRL for terms, W3C PROV-O for origin; joined as the Croissant 1.1 specification shows in "Responsible AI and
Governance". Texts of [release.about] come first; where they are silent, the release's own figures speak.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processing.release.formats.metadata.studio_statement import StudioStatement

RAI = "http://mlcommons.org/croissant/RAI/1.0"
VOCABULARIES = {
    "rai": "http://mlcommons.org/croissant/RAI/",
    "prov": "http://www.w3.org/ns/prov#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "duo": "http://purl.obolibrary.org/obo/DUO_",
}


# Who uses it says whose it is, and deletes what was withdrawn.
DUTIES = ("attribute", "delete")


@dataclass(frozen=True)
class ReleaseCounts:
    """What can be counted of a release."""

    #: How many.
    subjects: int
    #: How many.
    takes: int
    #: How many.
    photographs: int
    #: How many subjects may be shown.
    publishable: int
    #: How many subjects have their eyes covered.
    mosaicked: int
    #: Of each subject, years; None: not said.
    ages: tuple[int | None, ...]
    #: Of each subject; None: not said.
    genders: tuple[str | None, ...]
    #: Of a rig, at most.
    cameras: int
    #: (name, version, runs).
    stages: tuple[tuple[str, int, int], ...]
    #: First and last capture, ISO 8601.
    days: tuple[str, str] | None = None
    #: Whether no subject is a person.
    synthetic: bool = False
    #: How many files of its takes are not here.
    missing: int = 0


def rai_fields(about: StudioStatement, figures: ReleaseCounts) -> dict[str, Any]:
    """The `rai:` fields, those that conferences ask for among them."""
    people = "synthetic heads, of nobody" if figures.synthetic else "volunteers who came to one studio"
    when = f" between {figures.days[0]} and {figures.days[1]}" if figures.days else ""
    where = f" in {about.place}" if about.place else ""
    fields: dict[str, Any] = {
        "rai:dataCollection": (
            f"{count_phrase(figures.subjects, 'subject')} ({people}) performed the expressions of a protocol"
            f"{where}{when}; "
            f"{count_phrase(figures.takes, 'moment')} photographed by {figures.cameras or 'all'} synchronised "
            "cameras each."
        ),
        "rai:dataCollectionType": ["Computer simulation"] if figures.synthetic else ["Observations", "Experiments"],
        "rai:dataCollectionMissingData": (
            f"{count_phrase(figures.missing, 'file')} of these takes not here; missing.csv names each with the reason, "
            "and "
            "meta/ names the cameras that a take did without."
        ),
        "rai:dataCollectionRawData": (
            "The original photographs stay in the studio; meta/ holds the SHA-256 of each that a take was made from."
        ),
        "rai:dataPreprocessingProtocol": [
            "Multi-view stereo over all photographs of a take, fused to one surface (scan).",
            "A template of one topology brought to the scan by non-rigid registration; its texture projected from the "
            "photographs; what the registered mesh lost kept as a displacement map.",
            "Stage, version, parameters and key of every step are in meta/ of each take.",
        ],
        "rai:dataManipulationProtocol": (
            f"Of {count_phrase(figures.mosaicked, 'subject')} the eyes are in coarse blocks. Photographs have no EXIF."
        ),
        "rai:machineAnnotationTools": [
            f"{name} version {version} ({runs} runs)" for name, version, runs in figures.stages
        ],
        "rai:dataAnnotationProtocol": (
            "68 landmarks are fixed on the template once and carried by the registration; no person annotated single "
            "takes. An operator accepted each take; scans have a verdict by figures, in meta/."
        ),
        "rai:personalSensitiveInformation": _personal(figures),
        "rai:dataBiases": about.biases or _biases(figures),
        "rai:dataLimitations": about.limitations or _limitations(figures),
        "rai:dataUseCases": about.use_cases
        or "Study of face shape, expression and appearance: reconstruction, registration, face models, rendering. Not "
        "for recognising, tracing, profiling or judging persons, nor for inferring emotion or character from faces.",
        "rai:dataSocialImpact": about.social_impact
        or "Faces measured this well let results be compared and animation be made; they could also serve to imitate a "
        "person. The licence forbids identification and imitation of the subjects, access is by signed licence, and "
        "a subject's withdrawal reaches the holders of earlier versions.",
        "rai:dataReleaseMaintenancePlan": about.maintenance
        or "Versions are never changed. A withdrawal makes a next version with a tombstone that says what holders "
        "delete; every file has its SHA-256 in manifest.json.",
        "rai:hasSyntheticData": figures.synthetic,
    }
    if figures.days:
        fields["rai:dataCollectionTimeframe"] = [f"{figures.days[0]}T00:00:00", f"{figures.days[1]}T00:00:00"]
    return fields


def usage_info(about: StudioStatement, licence: str, *, synthetic: bool = False) -> list[dict[str, Any]]:
    """Terms of use, for programs: terms of the Data Use Ontology, and an ODRL offer with the same in its own words.

    Synthetic data has no person behind it: no restriction but the licence's.
    """
    if synthetic:
        return [_term("0000004", "no restriction")]
    terms = [_term("0000042", "general research use"), _term("0000026", "user specific restriction")]
    if not about.commercial:
        terms.append(_term("0000046", "non-commercial use only"))
    if about.ethics_approval:
        terms.append(_term("0000021", "ethics approval required"))
    forbidden = [] if about.redistribution else ["distribute"]
    offer: dict[str, Any] = {
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": "Terms of use",
        "license": licence,
        "odrl:permission": {
            "@type": "odrl:Permission",
            "odrl:action": {"@id": "duo:0000042", "name": "General research use"},
            "odrl:duty": [{"@type": "odrl:Duty", "odrl:action": {"@id": f"odrl:{act}"}} for act in DUTIES],
            "odrl:constraint": []
            if about.commercial
            else [
                {
                    "@type": "odrl:Constraint",
                    "name": "Non-commercial use only",
                    "odrl:leftOperand": {"@id": "odrl:purpose"},
                    "odrl:operator": {"@id": "odrl:eq"},
                    "odrl:rightOperand": {"@id": "duo:0000046"},
                }
            ],
        },
        "odrl:prohibition": [
            {"@type": "odrl:Prohibition", "odrl:action": {"@id": f"odrl:{action}"}} for action in forbidden
        ]
        + [{"@type": "odrl:Prohibition", "name": "Identification of a subject", "odrl:action": "identify a subject"}],
    }
    return [*terms, offer]


def provenance(
    about: StudioStatement, figures: ReleaseCounts, software: str, sources: Sequence[str] = ()
) -> dict[str, Any]:
    """PROV-O: the capture and the processing as activities, who answers for them. sources: earlier versions' URNs."""
    capture: dict[str, Any] = {
        "@type": "prov:Activity",
        "@id": "#capture",
        "prov:label": "Rendering of synthetic subjects" if figures.synthetic else "Capture in the studio",
    }
    if figures.days:
        capture |= {
            "prov:startedAtTime": f"{figures.days[0]}T00:00:00Z",
            "prov:endedAtTime": f"{figures.days[1]}T23:59:59Z",
        }
    processing: dict[str, Any] = {
        "@type": "prov:Activity",
        "@id": "#processing",
        "prov:label": ", ".join(f"{name} v{version}" for name, version, _ in figures.stages) or "processing",
        "prov:wasInformedBy": {"@id": "#capture"},
        "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "@id": "#mien", "prov:label": software},
    }
    agents = [{"@type": "prov:Organization", "prov:label": name} for name in about.made_by]
    found: dict[str, Any] = {"prov:wasGeneratedBy": [capture, processing], "prov:wasAttributedTo": agents}
    if sources:
        found["prov:wasRevisionOf"] = [{"@id": source} for source in sources]
    # Which data sets it was made from: none but its own photographs, which are named file by file in meta/.
    found["prov:wasDerivedFrom"] = [{"@id": source} for source in sources] or [{"@id": "#original-photographs"}]
    return found


def _term(code: str, name: str) -> dict[str, str]:
    return {
        "@type": "DefinedTerm",
        "name": name,
        "termCode": f"DUO_{code}",
        "url": f"http://purl.obolibrary.org/obo/DUO_{code}",
    }


def _personal(figures: ReleaseCounts) -> list[str] | str:
    if figures.synthetic:
        return "None: the heads are synthetic and belong to nobody."
    return [
        "Biometric: the shape and appearance of faces, by which a person could be recognised.",
        "Age in years and gender, as the subject says, where it said so. Occupation, names and contact are not here.",
        f"Photographs of {count_phrase(figures.publishable, 'subject')} who consented to their publication.",
        "Each subject signed a consent to release; withdrawals are honoured by tombstones in the next version.",
    ]


def _biases(figures: ReleaseCounts) -> str:
    if figures.synthetic:
        return "Heads drawn from a statistical body model: they vary as that model does, not as people do."
    genders = Counter(figures.genders)
    ages = sorted(age for age in figures.ages if age is not None)
    said = ", ".join(f"{genders[key]} {key or 'not said'}" for key in ("female", "male", "other", None) if genders[key])
    span = f"ages {ages[0]} to {ages[-1]}, median {ages[len(ages) // 2]}" if ages else "ages not said"
    return (
        f"Those who came to one studio, of their own will: {said or 'gender not said'}; {span} ({len(ages)} of "
        f"{figures.subjects} said theirs). Origin and skin colour were not asked, so balance in them is not known. "
        "histogram.svg and datasheet.md show age and gender."
    )


def _limitations(figures: ReleaseCounts) -> str:
    made = (
        "rendered, not photographed, so noise and skin are a model's"
        if figures.synthetic
        else "posed in a studio's light"
    )
    return (
        f"Expressions are {made}; hair, the inside of the mouth and eyes behind glasses are not measured well. What no "
        "two cameras saw is filled in: masks in the displacement maps and figures in meta/ say where and how much. Not "
        "suited to conclusions about populations that the histogram does not cover."
    )


def counted_stages(runs: Sequence[tuple[str, int]]) -> tuple[tuple[str, int, int], ...]:
    """(name, version) of every run -> each once, with how often, by name."""
    return tuple((name, version, times) for (name, version), times in sorted(Counter(runs).items()))


def count_phrase(number: int, what: str) -> str:
    """'1 subject', '3 subjects'."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def as_text(value: Any) -> str:
    """A field of several sentences as one text."""
    return " ".join(value) if isinstance(value, list | tuple) else str(value)


def field_text(fields: Mapping[str, Any], key: str) -> str:
    """A RAI field as text."""
    return as_text(fields.get(f"rai:{key}", ""))
