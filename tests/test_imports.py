"""The house's order: imports point one way, files stay short, nothing heavy at the top, no test is lost."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 350

# Bottom to top. A module may import its own layer and those below it.
LAYERS = (
    {
        *("objectives", "divergences", "kernels", "transport", "penalties", "constraints", "corruptions"),
        *("regularisers", "closed"),
        *("ada", "annealing", "augmentation", "ipms", "kspace"),
        *("draws", "holes", "processes", "names", "relativistic"),
    },
    {"nets", "data"},
    {"games"},
    {"training", "inverse", "metrics", "latent", "sefa"},
    {"recipes", "lab"},
    {
        *("rundata", "rundir", "recorder", "runs", "trained", "checking", "interruption", "export", "folder"),
        *("evaluation", "probing", "reconstruction", "sensing", "estimators", "filling", "mri"),
        "exemplars",
    },
    {
        "report",
        "metrics_log",
        "charts",
        "frames",
        "page",
        "cli",
        "cli_compare",
        "cli_evaluate",
        *("cli_inpaint", "cli_inverse", "cli_mri", "cli_sense"),
        "cli_lab",
        "cli_latent",
        "cli_probe",
        "cli_use",
        "compare",
        "demo",
        "following",
        "__main__",
    },
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}

HEAVY = frozenset(
    {
        *("matplotlib", "PIL", "cyclopts", "rich", "scipy", "mlxtend", "tensorboard", "jinja2", "tifffile"),
        *("skimage", "sklearn", "pywt", "pandas", "onnx", "onnxruntime", "onnxscript"),
    }
)


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """A file's module: zerosum/nets/plan.py → zerosum.nets.plan."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


MODULES = {name_of(path): path for path in files("zerosum")}
every_module = pytest.mark.parametrize("module", sorted(MODULES))


def each(*folders: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", files(*folders), ids=lambda path: str(path.relative_to(ROOT)))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def room_of(module: str) -> str | None:
    """The room of a module of ours: zerosum.nets.plan is in nets; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def up(importer: str, imported: str) -> bool:
    """Whether an import goes against the direction."""
    here, there = room_of(importer), room_of(imported)
    if here is None or there is None:
        return False
    return LAYER[there] > LAYER[here]


@every_module
def test_imports_point_one_way(module):
    room = room_of(module)
    assert room is None or room in LAYER, f"{room}: give this new room its place in LAYERS"
    ours = [name for name in imports(tree_of(MODULES[module])) if name.split(".")[0] == "zerosum"]
    wrong = [name for name in ours if up(module, name)]
    assert not wrong, f"{module} imports {', '.join(wrong)}, which is above it"


def test_the_direction_can_be_violated():
    assert up("zerosum.objectives", "zerosum.nets.dcgan")
    assert up("zerosum.training.loop", "zerosum.recipes.table")
    assert not up("zerosum.training.loop", "zerosum.games.game")
    assert not up("zerosum.cli", "zerosum.data")


@pytest.mark.parametrize("module", [name for name in MODULES if room_of(name) == "training"])
def test_training_knows_of_games_only_what_a_game_is(module):
    games = {name for name in imports(tree_of(MODULES[module])) if name.startswith("zerosum.games")}
    assert games <= {"zerosum.games.game"}


@pytest.mark.parametrize(
    "module", [name for name in MODULES if room_of(name) is None or LAYER.get(str(room_of(name))) == 0]
)
def test_no_heavy_import_at_the_top_of_the_mathematics(module):
    statements = [
        node for node in tree_of(MODULES[module]).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    top = ast.Module(statements, [])
    assert not {name.split(".")[0] for name in imports(top)} & HEAVY


@cache
def loaded(statement: str) -> frozenset[str]:
    """The modules that a fresh Python has after a statement."""
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return frozenset(done.stdout.split())


def test_importing_zerosum_costs_no_more_than_torch_and_a_tenth():
    # Modules, not seconds: a busy machine's time would decide otherwise.
    torch = loaded("import torch")
    zerosum = loaded("import zerosum")
    assert not {name.split(".")[0] for name in zerosum - torch} & HEAVY
    assert len(zerosum) <= 1.1 * len(torch)


def test_the_core_runs_without_anything_heavy():
    core = [name for name in MODULES if room_of(name) is not None and LAYER.get(str(room_of(name)), 9) <= 3]
    new = loaded(f"import {', '.join(core)}") - loaded("import torch")
    assert not {name.split(".")[0] for name in new} & HEAVY


@each("zerosum", "tests", "benchmarks", "examples")
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def functions_in(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    return [node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test")]


@each("zerosum", "tests", "benchmarks", "examples")
def test_every_test_is_collected(path):
    tree = tree_of(path)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name.startswith("Test")]
    bodies = [tree.body, *(node.body for node in classes)]
    collected = [node for body in bodies for node in functions_in(body)]
    if not path.name.startswith("test_"):
        assert not [*collected, *classes], "tests live in files named test_*.py"
        return
    assert path.is_relative_to(ROOT / "tests")
    for body in bodies:
        names = Counter(node.name for node in functions_in(body))
        twice = [name for name, count in names.items() if count > 1]
        assert not twice, f"{twice} are shadowed by later ones"
    for node in classes:
        assert not any(isinstance(n, ast.FunctionDef) and n.name == "__init__" for n in node.body)
    inner = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    hidden = {name for name in inner if name.startswith("test_")} - {node.name for node in collected}
    assert not hidden, f"{hidden} lie where pytest does not look"
    odd = [node.name for node in collected if not node.name.startswith("test_")]
    assert not odd, f"{odd}: pytest takes these for tests; name them test_… or otherwise"
    assert collected, "a test file without a test"
