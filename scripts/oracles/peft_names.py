"""Makes tests/fixtures/adapters/names.json: what PEFT's own matching says of targets, exclusions, layers and patterns for
the module names of a model with 12 layers. The test reads only that file.

Run: python3 scripts/oracles/peft_names.py    (peft 0.21)
"""

import json
import pathlib
import re
from types import SimpleNamespace

from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "adapters" / "names.json"
LAYERS = 12
PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
NAMES = [f"model.layers.{layer}.{part}" for layer in range(LAYERS) for part in PARTS]
ALL = [part.split(".")[1] for part in PARTS]

TARGETS = [
    {"target_modules": ["q_proj", "mlp.up_proj", "model.layers.3.mlp.down_proj"]},
    {"target_modules": ["q_proj", "model.layers.3.mlp.down_proj"], "layers_to_transform": [1, 11]},
    {"target_modules": ALL, "layers_to_transform": 4},
    {"target_modules": ALL, "layers_to_transform": []},
    {"target_modules": ALL, "layers_to_transform": [1, 2, 10], "layers_pattern": "layers"},
    {"target_modules": ALL, "layers_to_transform": [1, 2], "layers_pattern": ["h", "lay.rs"]},
    {"target_modules": ALL, "layers_to_transform": [5], "layers_pattern": "(blocks|layers)"},
    {"target_modules": ALL, "exclude_modules": ["k_proj", "layers.1.mlp.up_proj", "proj"]},
    {"target_modules": ALL, "exclude_modules": r".*\.(1|3)\..*"},
    {"target_modules": r".*\.(q|v)_proj"},
    {"target_modules": r"model\.layers\.\d\.mlp\..*"},
    {"target_modules": r"model\.layers\.(1|11)\.self_attn\.[qk]_proj"},
    {"target_modules": r"(?i)MODEL\.LAYERS\.[0-3]\.MLP\.UP_PROJ"},
    {"target_modules": r"^(?!.*vision)(?:.*\.)(?:o_proj|down_proj)$"},
    {"target_modules": r".*(?<!\.1)\.mlp\.up_proj"},
    {"target_modules": r".*\.(\d)\1\..*"},
    {"target_modules": r"(?P<a>model)\.layers\.7\..*"},
    {"target_modules": r"\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention)\.(?:(?:q_proj|k_proj))"},
    {"target_modules": r"model.layers.1.mlp.up_proj|.*\.2\..*gate_proj"},
    {"target_modules": r".*\.\d{2,}\.\w+\.(?:up|down)_proj\Z"},
    {"target_modules": r".*\.mlp\.[^d]*_proj"},
    {"target_modules": r".*[.]1[.].*"},
    {"target_modules": r".*\.1?0\.self_attn\.\S+?_proj"},
]

PATTERNS = [
    ["q_proj", "layers.1.self_attn.q_proj"],
    ["layers.1.self_attn.q_proj", "q_proj", "model.layers.2.mlp.up_proj"],
    ["1.mlp.up_proj", "mlp.up_proj"],
    [r".*\.2\..*_proj", r"layers\.[13]\.mlp\..*", "o_proj"],
    ["proj", "_proj", "[qk]_proj"],
    ["up_proj|down_proj", r"self_attn\.(v|o)_proj"],
    [r"(?=.*\.11\.).*", r"(?:.*\.)?gate_proj", ".*"],
    ["mlp", "mlp.*", "layers.5"],
    [r"(\w)_proj", r"^model\.layers\.0\..*"],
]


def matched(settings):
    config = SimpleNamespace(**{"exclude_modules": None, "layers_to_transform": None, "layers_pattern": None, **settings})
    config.modules_to_save = config.target_parameters = None
    found = [check_target_module_exists(config, name) for name in NAMES]
    return [name for name, hit in zip(NAMES, found) if hit and type(hit).__name__ != "_ExcludedModule"]


def chosen(keys):
    """Which key decides for each name, by its place; -1 for none."""
    places = []
    for name in NAMES:
        key = get_pattern_key(keys, name)
        places.append(keys.index(key) if key in keys and re.match(rf"(.*\.)?({key})$", name) else -1)
    return places


if __name__ == "__main__":
    OUT.parent.mkdir(parents=True, exist_ok=True)
    targets = [{"settings": settings, "modules": matched(settings)} for settings in TARGETS]
    patterns = [{"keys": keys, "chosen": chosen(keys)} for keys in PATTERNS]
    OUT.write_text(json.dumps({"layers": LAYERS, "targets": targets, "patterns": patterns}, indent=1) + "\n")
