"""job.yaml and options to a Job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finefit.errors import BadInput
from finefit.nouns.job import Job
from finefit.world.fields import KEYS, LIMITS
from finefit.world.jobs import ReadJob, job_of_options, read_job
from finefit.world.spellings import LATER_KEYS, OLD, SWITCHES

Read = Callable[..., ReadJob]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a job of these lines, where gpt2 is a name and rows.jsonl is a file."""
    (tmp_path / "rows.jsonl").write_text("")

    def job(
        text: str, overrides: dict[str, str] | None = None, head: str = "model: gpt2\ndata: rows.jsonl\n"
    ) -> ReadJob:
        (tmp_path / "job.yaml").write_text(head + text, encoding="utf-8")
        return read_job(tmp_path / "job.yaml", overrides)

    return job


def test_a_job_of_two_lines_is_a_job(read: Read, tmp_path: Path) -> None:
    """Everything but the model and the data has a default."""
    assert read("") == (Job(model="gpt2", data=str(tmp_path / "rows.jsonl")), ())


def test_a_path_that_exists_wins_over_the_hub(read: Read, tmp_path: Path) -> None:
    """What only the hub can have, is asked of it later."""
    head = "model: gpt2\ndata: org/rows:train\n"
    assert read("eval_data: org/held", head=head).job == Job("gpt2", "org/rows:train", "org/held")
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "held").write_text("")
    assert read("eval_data: org/held", head=head).job.eval_data == str(tmp_path / "org" / "held")


BAD = [
    # text, the place, the fragment of the message
    ("lora_rr: 8", "3: lora_rr", "unknown key\n    try: did you mean 'lora_r'?"),
    ("learning_ratee: 1", "3: learning_ratee", "did you mean 'learning_rate'?"),
    ("lora:\n  rnak: 3", "4: lora.rnak", "unknown key"),
    ("1: 2", "3: 1", "unknown key"),
    ("lora_r: abc", "3: lora_r", "'abc' is not a whole number"),
    ("lora_r: 1.5", "3: lora_r", "1.5 is not a whole number"),
    ("lora_r: true", "3: lora_r", "True is not a whole number"),
    ("lora_r: [8]", "3: lora_r", "[8] is not a whole number"),
    ("lora_r:", "3: lora_r", "needs a value"),
    ("learning_rate: fast", "3: learning_rate", "'fast' is not a number"),
    ("learning_rate: .nan", "3: learning_rate", "nan is out of range"),
    ("learning_rate: .inf", "3: learning_rate", "inf is out of range"),
    ("learning_rate: -1e-4", "3: learning_rate", "out of range\n    try: above 0"),
    ("num_train_epochs: 0", "3: num_train_epochs", "out of range"),
    ("profile_steps: 5-3", "3: profile_steps", "5-3 is out of range\n    try: optimizer steps, like 3-5"),
    ("max_length: ²", "3: max_length", "'²' is not a whole number"),
    (f"max_length: '{'9' * 5000}'", "3: max_length", "is not a whole number"),
    ("profile_steps: some", "3: profile_steps", "some is out of range"),
    ("profile_steps: 0", "3: profile_steps", "0 is out of range"),
    ("max_steps: 4\nprofile_steps: 3-5", "4: profile_steps", "there is no step 5\n    why: max_steps is 4"),
    ("max_steps: 0", "3: max_steps", "at least 1, or -1 for none"),
    ("seed: -1", "3: seed", "out of range"),
    ("warmup_ratio: 3", "3: warmup_ratio", "3 is no ratio"),
    ("warmup_steps: -1", "3: warmup_steps", "out of range"),
    ("lora_dropout: 1", "3: lora_dropout", "below 1"),
    ("save_steps: 99999999999999999999", "3: save_steps", "out of range"),
    ("gradient_checkpointing: most", "3: gradient_checkpointing", "a whole number or one of all, none, auto"),
    ("gradient_checkpointing: -1", "3: gradient_checkpointing", "out of range"),
    ("assistant_only_loss: maybe", "3: assistant_only_loss", "'maybe' is not true or false"),
    ("lr_scheduler_type: cosin", "3: lr_scheduler_type", "did you mean 'cosine'?"),
    ("dtype: bf16", "3: dtype", "did you mean 'bfloat16'?"),
    ("attn_implementation: flash", "3: attn_implementation", "is not one of eager, sdpa, flash_attention_2"),
    ("optim: adamw_torch_fuse", "3: optim", "did you mean 'adamw_torch_fused'?"),
    ("optim: adamw_apex_fused", "3: optim", "unknown optimizer"),
    ("lora_target_modules: []", "3: lora_target_modules", "names no modules"),
    ("lora_target_modules: [q_proj, 3]", "3: lora_target_modules", "is not text or a list of names"),
    ("lora_target_modules: '(q|v'", "3: lora_target_modules", "neither names nor a regular expression"),
    ("method: lora\nbnb_4bit_quant_type: nf4", "4: bnb_4bit_quant_type", "means nothing here"),
    ("method: qlora4\nbnb_4bit_quant_type: nf5", "4: bnb_4bit_quant_type", "did you mean 'nf4'?"),
    ("method: auto", "3: method", "comes in a later version"),
    ("method: lorra", "3: method", "did you mean 'lora'?"),
    ("use_4bit: true\nmethod: full", "4: method", "given twice"),
    ("from_scratch: true", "3: from_scratch", "trains every weight"),
    ("method: full\nfrom_scratch: true\ngpu: 2xRTX4090", "4: from_scratch", "on one GPU"),
    ("reference: model", "3: reference", "means nothing here"),
    ("beta: 0.2", "3: beta", "means nothing here"),
    ("task: dpo\nbeta: 0", "4: beta", "out of range\n    try: above 0"),
    ("task: dpo\nlora_dropout: 0.1", "4: lora_dropout", "turns all dropout off"),
    (
        "task: dpo\nmethod: full\ngpu: 2xRTX4090\nfsdp: true",
        "6: fsdp",
        "TRL makes one unit of the frozen copy",
    ),
    (
        "task: dpo\nreference: precomputed\ngpu: 2xRTX4090\nzero_stage: 3",
        "6: zero_stage",
        "asked before training, of a model that each rank has whole",
    ),
    (
        "task: dpo\nmethod: qlora4\nreference: model\ngpu: 2xRTX4090\nzero_stage: 3",
        "7: zero_stage",
        "a packed copy that ZeRO 3 divides",
    ),
    ("zero_stage: 4", "3: zero_stage", "is not one of 0, 1, 2, 3"),
    ("zero_stage: 2\ngpu: cpu", "3: zero_stage", "means nothing here"),
    ("fsdp: true\ngpu: cpu", "3: fsdp", "means nothing here"),
    ("fsdp: true\ngpu: 2xcpu", "3: fsdp", "FSDP2 does not run here"),
    ("gpu: 3xcpu", "3: gpu", "3 processes do not divide the global batch"),
    ("gpu: 2xcpu\nmixed_precision: fp16", "4: mixed_precision", "fp16 needs a GPU"),
    ("fsdp: true\nzero_stage: 3\ngpu: 2xRTX4090", "4: zero_stage", "exclude each other"),
    ("offload: optimizer", "3: offload", "nothing that would offload"),
    ("gpu: 2xRTX4090\nzero_stage: 2\noffload: all", "5: offload", "parameters stay in stage 2"),
    ("gpu: 2xRTX4090\nfsdp: true\noffload: optimizer", "5: offload", "offloads parameters and the optimizer's state"),
    ("gpu: 2xRTX4090\nmethod: qlora8\nzero_stage: 3", "5: zero_stage", "gains nothing from stage 3"),
    ("gpu: 2xRTX4090\nmethod: qlora8\nfsdp: true", "5: fsdp", "does not run under FSDP2"),
    ("gpu: 2xRTX4090\nfsdp: true\noptim: adamw_8bit", "5: optim", "does not run under FSDP2"),
    ("gpu: 2xRTX4090\nzero_stage: 2\noptim: ademamix", "5: optim", "is not modelled under an engine"),
    ("gpu: 3xRTX4090", "3: gpu", "3 GPUs do not divide the global batch"),
    ("packing: true\nattn_implementation: flash_attention_2\ngpu: RTX4090", "4: attn_implementation", "not modelled"),
    ("gpu: RTX4091", "3: gpu", "did you mean GeForce RTX 4090"),
    ("gpu: 0xRTX4090", "3: gpu", "is no GPU"),
    ("lora_r: 8\nlora_r: 16", "4: lora_r", "given twice\n    why: also at"),
    ("lora_r: 8\nlora_rank: 16", "4: lora_rank", "given twice"),
    ("eval_data: nowhere.jsonl", "3: eval_data", "no such file"),
    ("eval_data: ./owner/rows", "3: eval_data", "no such file"),
    ("eval_data: owner/rows.jsonl", "3: eval_data", "no such file"),
    ("eval_data: .", "3: eval_data", "is a folder"),
    ("output_dir: rows.jsonl", "3: output_dir", "this is a file"),
    ("output_dir: ''", "3: output_dir", "needs a value"),
    ("method: full\nlora_r: 8", "4: lora_r", "means nothing here"),
    ("method: full\nuse_dora: true", "4: use_dora", "means nothing here"),
    ("method: full\nuse_rslora: true", "4: use_rslora", "means nothing here"),
    ("method: qlora8\nuse_dora: true\ngpu: cpu", "4: use_dora", "needs a GPU"),
    ("gpu: 2xRTX4090\nuse_dora: true\nzero_stage: 3", "4: use_dora", "does not go with ZeRO 3"),
    ("use_lora: false\nlora: {alpha: 8}", "4: lora.alpha", "means nothing here"),
    ("per_device_train_batch_size: 3", "3: per_device_train_batch_size", "3 does not divide the global batch"),
    (
        "global_batch_size: 8\ngradient_accumulation_steps: 3",
        "4: gradient_accumulation_steps",
        "global_batch_size is 8",
    ),
    (
        "global_batch_size: 8\nper_device_train_batch_size: 2\ngradient_accumulation_steps: 2",
        "4: per_device_train_batch_size",
        "2 × 2 sequences are 4",
    ),
    ("gpu: cpu\nmixed_precision: fp16", "4: mixed_precision", "fp16 needs a GPU"),
    ("gpu: cpu\nfp16: true", "4: fp16", "fp16 needs a GPU"),
    ("gpu: cpu\ndtype: float16", "4: dtype", "float16 needs a GPU"),
    ("gpu: T4\nattn_implementation: flash_attention_2", "4: attn_implementation", "Tesla T4 is older"),
    ("method: full\ngpu: T4\ndtype: float16\nmixed_precision: fp16", "6: mixed_precision", "cannot be unscaled"),
    ("eval_steps: 5", "3: eval_steps", "no rows to evaluate on"),
    ("use_liger_kernel: true\ngpu: cpu", "3: use_liger_kernel", "needs a GPU"),
    ("loss: liger\ngpu: A100-80GB", "3: loss", "comes with liger's kernels"),
    ("image_size: 1280", "3: image_size", "out of range"),
    ("image_size: 0x720", "3: image_size", "out of range"),
    ("image_size: 1280x720", "3: image_size", "does not go with a file's rows"),
    ("images: 2", "3: images", "size is not said"),
    ("on_bad_row: drop", "3: on_bad_row", "'drop' is not one of stop, skip"),
    ("a: [1\n", "4", "not YAML"),
    ("lora_r: 8\n\tseed: 3", "4", "not YAML"),
    ("seed: !!python/object:os.system x", "3", "not YAML"),
]


@pytest.mark.parametrize(("text", "place", "fragment"), BAD, ids=[text.replace("\n", "; ") for text, _, _ in BAD])
def test_a_wrong_line_is_named_with_its_place(read: Read, tmp_path: Path, text: str, place: str, fragment: str) -> None:
    """Every mistake is one problem, with file, line and key, and leaves nothing behind."""
    with pytest.raises(BadInput) as caught:
        read(text)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f"{tmp_path / 'job.yaml'}:{place}: ")
    assert fragment in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.yaml", "rows.jsonl"]


@pytest.mark.parametrize(
    ("head", "fragment"),
    [
        ("", "not a mapping"),
        ("- model: gpt2", "not a mapping"),
        ("model: gpt2", "job.yaml: data: is missing"),
        ("data: rows.jsonl", "job.yaml: model: is missing"),
        ("model: gpt2\ndata: nowhere.jsonl", "no such file"),
        ("model: ./nowhere\ndata: rows.jsonl", "no such folder"),
        ("model: .\ndata: rows.jsonl", "has no config.json"),
        ("model: gpt2\n---\nmodel: gpt2", "not YAML"),
    ],
)
def test_model_and_data_are_needed(read: Read, head: str, fragment: str) -> None:
    """A job is about a model and rows, and both are there."""
    with pytest.raises(BadInput, match=fragment):
        read("", head=head)


def test_all_problems_come_at_once(read: Read) -> None:
    """One reading finds what is unknown, mistyped, out of range, missing and at odds, in files and options."""
    with pytest.raises(BadInput) as caught:
        read(
            "lora_rr: 8\nseed: abc\nmax_steps: 0\nmethod: full\nlora_r: 4", {"gpu": "none", "foo": "1"}, "model: gpt2\n"
        )
    places = {problem.where.rpartition(": ")[2] for problem in caught.value.problems}
    assert places == {"data", "lora_rr", "seed", "max_steps", "lora_r", "--gpu", "--foo"}


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("nowhere.yaml", None, "cannot be read: No such file"),
        ("job.yaml", b"model: gpt2\ndata: \xff\n", "job.yaml:2: not UTF-8"),
        ("job.yaml", b"model: \x00", "not YAML"),
        (".", None, "this is a folder"),
    ],
)
def test_a_file_that_is_no_text_is_bad_input(tmp_path: Path, name: str, content: bytes | None, fragment: str) -> None:
    """What cannot be read is said in one sentence."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=fragment):
        read_job(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("learning_rate: 1e-4", "learning_rate", 1e-4),  # to YAML 1.1 this is text
        ("learning_rate: 2.0e-5", "learning_rate", 2e-5),
        ("num_train_epochs: 3", "num_train_epochs", 3.0),
        ("mixed_precision: no", "mixed_precision", "no"),  # to YAML 1.1 this is false
        ("gradient_checkpointing: 7", "gradient_checkpointing", 7),
        ("gradient_checkpointing: none", "gradient_checkpointing", "none"),
        ("gpu: 4090", "gpu", "4090"),
        ("max_length: null", "max_length", None),
        ("lora_target_modules: all-linear", "lora_target_modules", "all-linear"),
        ("lora_target_modules: q_proj, v_proj", "lora_target_modules", ("q_proj", "v_proj")),
        ("lora_target_modules: q_proj", "lora_target_modules", ("q_proj",)),  # as text, PEFT would match the whole path
        ("lora_target_modules: [q_proj]", "lora_target_modules", ("q_proj",)),
        (r"lora_target_modules: .*\.(q|v)_proj", "lora_target_modules", r".*\.(q|v)_proj"),
        ("per_device_train_batch_size: 4\ngradient_accumulation_steps: 3", "global_batch_size", 12),
    ],
)
def test_what_people_write_is_what_they_mean(read: Read, text: str, field: str, value: object) -> None:
    """YAML's quirks and comma lists are read as meant."""
    job, notes = read(text)
    assert getattr(job, field) == value
    assert notes == ()


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("lora_rank: 8", "lora_r", 8),
        ("lora: {r: 8}", "lora_r", 8),
        ("lora.r: 8", "lora_r", 8),
        ("use_lora: true", "method", "lora"),
        ("use_lora: false", "method", "full"),
        ("finetuning_type: full", "method", "full"),
        ("warmup_ratio: 0.1", "warmup_steps", 0.1),
        ("lr: 1e-3", "learning_rate", 1e-3),
        ("epochs: 2", "num_train_epochs", 2.0),
        ("batch_size: 2", "per_device_train_batch_size", 2),
        ("max_seq_length: 77", "max_length", 77),
        ("cutoff_len: 77", "max_length", 77),
        ("lora_target: q_proj", "lora_target_modules", ("q_proj",)),
        ("bf16: true", "mixed_precision", "bf16"),
        ("gradient_checkpointing: true", "gradient_checkpointing", "all"),
        ("gradient_checkpointing: false", "gradient_checkpointing", "none"),
        ("load_in_4bit: false", "method", "lora"),
        ("no_deepspeed: true", "method", "lora"),
        ("no_packing: true", "packing", False),
        ("sample_packing: true", "packing", True),
        ("neat_packing: true", "packing", True),
    ],
)
def test_old_spellings_are_read_and_named(read: Read, text: str, field: str, value: object) -> None:
    """A file of another project works where it can, and says what its keys became."""
    job, notes = read(text)
    assert getattr(job, field) == value
    assert len(notes) == 1
    assert text.partition(":")[0] in notes[0]


@pytest.mark.parametrize("old", ["base_model", "model_name_or_path"])
def test_the_model_has_old_names_too(read: Read, old: str) -> None:
    """Required keys may come by their old names."""
    assert read("", head=f"{old}: gpt2\ntrain_file: rows.jsonl\n").job.model == "gpt2"


def test_paths_of_a_file_start_in_its_folder(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job can be moved with its data; an option's path starts where the user stands."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "other.jsonl").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    job, _ = read("output_dir: out", {"data": "other.jsonl"}, "model: base\ndata: rows.jsonl\n")
    assert job.model == str(tmp_path / "base")
    assert job.output_dir == str(tmp_path / "out")
    assert job.data == str(tmp_path / "here" / "other.jsonl")


def test_options_win_over_the_file_and_are_checked_alike(read: Read) -> None:
    """Dashes or underscores, today's or old names; a mistake is placed at the option."""
    job, notes = read("seed: 1\nlora_r: 4\nmax_length: 9", {"seed": "2", "lora-rank": "8", "max_length": "null"})
    assert (job.seed, job.lora_r, job.max_length) == (2, 8, None)
    assert notes == ("--lora-rank: read as lora_r",)
    with pytest.raises(BadInput, match=r"^--max-length: 'x' is not a whole number"):
        read("", {"max-length": "x"})
    with pytest.raises(BadInput, match="unknown option\n    try: did you mean '--learning-rate'"):
        read("", {"learning-rat": "1"})


def test_options_may_be_all_of_a_job(tmp_path: Path) -> None:
    """The same as in a file; what lacks is named as an option."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "rows.jsonl").write_text("")
    said = {"model": str(tmp_path), "data": str(tmp_path / "rows.jsonl"), "max-steps": "3", "lora-rank": "8"}
    path = tmp_path / "job.yaml"
    path.write_text("\n".join(f"{key.replace('-', '_')}: {value}" for key, value in said.items()))
    assert read_job(None, said).job == read_job(path).job
    with pytest.raises(BadInput, match=r"^--model: is missing\n    try: --model …, or a job file\n--data: is missing"):
        read_job(None, {"max-steps": "3"})


@pytest.mark.parametrize(
    ("options", "batch"),
    [
        ({}, (1, 1, 1)),
        ({"batch-size": "4"}, (4, 1, 4)),
        ({"gradient-accumulation-steps": "4"}, (1, 4, 4)),
        ({"global-batch-size": "8"}, (1, None, 8)),
        ({"global-batch-size": "8", "batch_size": "2"}, (2, None, 8)),
        ({"global-batch-size": "8", "gradient-accumulation-steps": "4"}, (None, 4, 8)),
    ],
)
def test_options_alone_are_a_batch_of_one_as_far_as_they_leave_it_open(
    options: dict[str, str], batch: tuple[int | None, int | None, int]
) -> None:
    """An estimate is of one sequence where nothing else is said; a None is for the plan."""
    job = job_of_options(options, KEYS).job
    assert (job.per_device_train_batch_size, job.gradient_accumulation_steps, job.global_batch_size) == batch


def test_options_may_be_limited_to_some_keys() -> None:
    """A key that a command does not have is unknown to it, whatever it is called."""
    with pytest.raises(BadInput, match="--epochs: unknown option"):
        job_of_options({"epochs": "1"}, {"lora_r"})


def test_tables_speak_of_keys_that_are() -> None:
    """Spellings and limits point at fields of Job, and hide none of them."""
    names = {field.name for field in fields(Job)}
    meant = {meaning[0] for meaning in SWITCHES.values() if meaning}
    assert set(OLD.values()) | meant | set(LIMITS) <= names
    assert not (set(OLD) | LATER_KEYS) & names


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, *OLD, "foo"]), SCALARS | st.lists(SCALARS, max_size=2), max_size=5))
@example({"batch_size": None, "gradient_accumulation_steps": None})
def test_any_mapping_is_a_job_or_bad_input(read: Read, wishes: dict[str, object]) -> None:
    """No value of any kind under any key crashes the reader, and what passes is within its limits."""
    import yaml

    try:
        job, _ = read(yaml.safe_dump(wishes, allow_unicode=True), head="")
    except BadInput:
        return
    values = {key: getattr(job, key) for key in LIMITS}
    assert all(value is None or LIMITS[key][0](value) for key, value in values.items())
