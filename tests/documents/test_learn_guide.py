"""What docs/how-to/learn.md prints of Python runs as printed; tests/training/test_learn_commands.py trains."""

from pathlib import Path

from printed_blocks import Desk, printed
from toy_task import ToyTask

from processing.learning.weights_file import LearnedCard
from processing.training.train_settings import TrainSettings
from processing.training.trainer import train


def test_a_program_reads_weights(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk", tmp_path / "home")
    card = LearnedCard("regressor", {}, {}, {"name": "faces"}, ("1",), ("2",))
    train(ToyTask(), desk.folder / "runs/regressor", TrainSettings(epochs=1, threads=1), card)
    block = printed("docs/how-to/learn.md", "from pathlib import Path")
    desk.python(block, after="assert weights.tensors['network.4.weight'].shape == (2, 8)")
