"""The table of camera models: what it holds, which entry counts, and what it refuses."""

import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_nodes.agent import Agent
from camera_nodes.agent_settings import AgentSettings, agent_settings
from camera_nodes.backends import load_model_overrides
from camera_nodes.camera_models.markdown_page import page
from camera_nodes.camera_models.models import KEYS, BodyModel, BodyModels, body_model, built_in, load, parse
from camera_nodes.curve_keys import CONTROLLER, ensure_keys
from camera_nodes.errors import BadSettings

ENTRIES = built_in().entries
DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_says_where_it_is_from(entry):
    assert entry.sources
    assert all(source.url.startswith("https://") and len(source.says) > 10 for source in entry.sources)
    assert all(pattern.strip("*?[]- ") for pattern in entry.match), "a pattern that fits every body"
    assert entry.values or entry.notes


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_counts_for_the_models_that_it_names(entry):
    """Each of its patterns, read as a name where it has no wildcards, finds it, and nothing more specific hides it."""
    names = [pattern for pattern in entry.match if not set("*?[") & set(pattern)]
    for name in names:
        assert body_model(name).name == entry.name


def test_no_two_entries_claim_one_model_name():
    exact = [p.lower() for entry in ENTRIES for p in entry.match if not set("*?[") & set(p)]
    assert len(exact) == len(set(exact))


def test_all_five_makers_are_there():
    makers = {"Canon EOS 5D Mark IV", "D850", "Z 6_2", "ILCE-7M4", "X-T3", "GFX100S", "DC-GH5", "DMC-GH4"}
    assert all(body_model(model).entries for model in makers)
    assert body_model("Simulated camera") == BodyModel()


def test_what_a_maker_says_holds_for_its_models_where_they_say_nothing_else():
    sony, seven = body_model("ILCE-9"), body_model("ILCE-7M3")
    assert (sony.settle_s, sony.deletes, sony.order) == (seven.settle_s, seven.deletes, seven.order)
    assert (sony.card_target, seven.card_target) == (("card+sdram", "card"), ("card+sdram",))
    assert seven.entries == ("Sony Alpha", "Sony A7 III")
    assert set(sony.sources) < set(seven.sources)
    assert body_model("ILCE-6400").settle_s < sony.settle_s


def test_a_rebel_is_no_eos_r():
    assert "Canon EOS R" not in body_model("Canon EOS Rebel T6").entries
    assert all("Canon EOS R" in body_model(f"Canon EOS {name}").entries for name in ("R", "RP", "R5", "R6m2"))


def test_the_model_is_known_by_either_name_and_any_spelling():
    assert body_model("Nikon DSC D850") == body_model("d850") == body_model(" D850 ")


def test_the_flicker_reduction_of_a_nikon_is_not_taken_for_a_clock():
    assert all(setting.name != "d034" for setting in body_model("D850").clock_settings)


MODEL = "Canon EOS 5D Mark IV"


@given(
    lengths=st.lists(st.integers(1, len(MODEL)), min_size=1, max_size=6, unique=True),
    shuffle=st.randoms(use_true_random=False),
    local=st.integers(0, len(MODEL)),
)
def test_the_most_specific_entry_counts_in_whatever_order_they_stand(lengths, shuffle, local):
    """Prefixes of a model's name with a star: the longest counts; but an entry of the operator's file before any."""
    source = 'sources = [{ url = "https://x", says = "so" }]'
    texts = [f'[[body]]\nname = "{n} letters"\nmatch = ["{MODEL[:n]}*"]\nfile_s = {n}.0\n{source}\n' for n in lengths]
    shuffle.shuffle(texts)
    table = BodyModels(parse("".join(texts), "t"))
    found = table.find(MODEL)
    assert found.file_s == max(lengths)
    assert found.entries == tuple(f"{n} letters" for n in sorted(lengths))
    assert len(found.sources) == len(lengths)
    own = parse(f'[[body]]\nname = "own"\nmatch = ["{MODEL[:local]}*"]\nfile_s = 99.0\n', "own", layer=1)
    assert BodyModels((*own, *table.entries)).find(MODEL).file_s == 99.0


@given(key=st.sampled_from([*KEYS, "match", "notes", "sources"]), at=st.integers(0, 20), change=st.sampled_from("xq_"))
def test_a_misspelt_key_is_refused_with_file_entry_key_and_the_likely_one(key, at, change):
    at %= len(key)
    wrong = key[:at] + change + key[at + 1 :]
    if wrong in (*KEYS, "match", "notes", "sources", "name"):
        return
    with pytest.raises(BadSettings) as refusal:
        parse(f'[[body]]\nname = "Our D850"\n{wrong} = 1\n', "own.toml")
    for part in ("own.toml", "Our D850", repr(wrong), repr(key)):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("file_s = 0", "from 0.1 to 7200"),
        ("file_s = inf", "from 0.1 to 7200"),
        ("quiet_s = nan", "from 0.001 to 10"),
        ("settle_s = -1", "from 0 to 120"),
        ('busy_s = "10"', "from 0 to 300"),
        ("busy_s = true", "from 0 to 300"),
        ("deletes = 1", "true or false"),
        ('order = "raw"', "raw_first"),
        ('card_target = "card"', "a list of texts"),
        ('clock_settings = ["datetime"]', "datetimeutc utc"),
        ("match = []", "match is empty"),
        ('sources = ["https://x"]', "sources is a list"),
        ('sources = [{ url = "https://x" }]', "says what is said"),
        ('sources = [{ uri = "https://x", says = "y" }]', "'url'"),
        ("notes = 3", "not a text"),
    ],
)
def test_values_out_of_bounds_are_refused(line, message):
    with pytest.raises(BadSettings, match=message.replace("[", r"\[")):
        parse(f'[[body]]\nname = "D850"\n{line}\n', "own.toml")


def test_a_table_that_is_none_is_refused(tmp_path):
    for text in ("body = 3", "[body]\nname = 1", "[[body]]\nmatch = ['x']", "[[bodies]]\nname = 'x'", "not toml"):
        with pytest.raises(BadSettings, match=r"own\.toml"):
            parse(text, "own.toml")
    with pytest.raises(BadSettings, match="there twice"):
        parse('[[body]]\nname = "a"\n[[body]]\nname = "a"\n', "own.toml")
    with pytest.raises(BadSettings, match="cannot be read"):
        load(tmp_path / "nowhere.toml")


def test_the_operators_file_lies_over_the_table(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[[body]]\nname = "D850"\nmatch = ["D850"]\nfile_s = 7.5\n')
    assert body_model("D850", own).file_s == 7.5
    assert body_model("D850", own).card_target == body_model("D850").card_target
    assert body_model("D850").file_s == BodyModel().file_s


def test_the_nodes_settings_name_it_relative_to_themselves(tmp_path):
    file = tmp_path / "cam-07.toml"
    file.write_text('camera = "cam-07"\nurl = "sim:"\ncontrol = "c"\nbulk = "b"\nmodels = "own.toml"\n')
    assert agent_settings(file, {}).models == str(tmp_path / "own.toml")


def test_a_camera_that_goes_by_the_table_gets_the_operators_file(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[[body]]\nname = "D850"\nfile_s = 7.5\n')
    camera = SimpleNamespace(models_file=None)
    load_model_overrides(camera, own)
    assert camera.models_file == own
    plain = SimpleNamespace()
    load_model_overrides(plain, own)
    assert not hasattr(plain, "models_file")


def test_a_node_with_a_misspelt_file_of_models_does_not_start(tmp_path):
    (tmp_path / "own.toml").write_text('[[body]]\nname = "D850"\nfiles_s = 7.5\n')
    for name in ("cam-07", CONTROLLER):
        ensure_keys(tmp_path / "keys", name)
    addresses = {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:2"}
    folders = {"keys": tmp_path / "keys", "spool": tmp_path / "spool"}
    settings = AgentSettings("cam-07", "sim:", **addresses, **folders, models=str(tmp_path / "own.toml"))
    with pytest.raises(BadSettings, match="did you mean 'file_s'"):
        Agent(settings)


def test_the_page_is_of_this_table():
    """`mien camera models --markdown > docs/camera-models.md` makes it anew."""
    text = (DOCS / "camera-models.md").read_text(encoding="utf-8")
    assert text == page(built_in())
    for entry in ENTRIES:
        assert f"## {entry.name}\n" in text
        assert all(source.url in text for source in entry.sources)


def test_the_operators_guide_tells_of_every_key():
    guide = (DOCS / "operators.md").read_text(encoding="utf-8")
    part = guide.partition("## What each model's table says")[2].partition("\n## ")[0]
    assert part
    for key in itertools.chain(KEYS, ("name", "match", "notes", "sources")):
        assert f"`{key}`" in part, key
    assert "camera-models.md" in part


def test_every_field_of_a_body_is_a_key_or_made_from_one():
    fields = {field.name for field in dataclasses.fields(BodyModel)}
    assert fields == {*KEYS, "name", "notes", "sources", "entries"}
