"""The tiny models of the parity check: one entry a family and a head kind, with settings that show every mistake.

Windows are 16 wide and sequences 96 long, rotary contexts were "trained" to 24, soft-caps are small enough to be reached, and
groups share keys, so nothing that a config says can be left out unnoticed.
"""

from dataclasses import dataclass, field

VOCAB = 96
LENGTH = 96
WINDOW = 16

COMMON = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    head_dim=8, max_position_embeddings=256, pad_token_id=0, bos_token_id=2, eos_token_id=1,
)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24)
GEMMA = dict(hidden_activation="gelu_pytorch_tanh", sliding_window=WINDOW, query_pre_attn_scalar=13, rms_norm_eps=1e-2)


@dataclass(frozen=True)
class Family:
    """What to make: `kind` names the classes of transformers, `settings` go over COMMON, `stored` is the files' number type."""

    kind: str
    settings: dict
    stored: str = "float32"
    shards: int = 1
    published: dict = field(default_factory=dict)
    drop: tuple = ()
    adapters: tuple = ()

    def config(self):
        import transformers

        made = {**COMMON, **self.settings}
        if self.kind != "Gemma3Multimodal":
            return getattr(transformers, self.kind + "Config")(**made)
        vision = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
        return transformers.Gemma3Config(
            text_config=made, vision_config=vision, mm_tokens_per_image=4, boi_token_index=90, eoi_token_index=91,
            image_token_index=92, tie_word_embeddings=True, pad_token_id=0, bos_token_id=2, eos_token_id=1,
        )

    def model_class(self):
        import transformers

        names = {"Gemma3Multimodal": "Gemma3ForConditionalGeneration", "Gemma3Text": "Gemma3ForCausalLM"}
        return getattr(transformers, names.get(self.kind, self.kind + "ForCausalLM"))

    @property
    def is_gemma(self):
        return self.kind.startswith("Gemma")


def rope(theta, **more):
    return dict(rope_parameters=dict(rope_type="default", rope_theta=theta) | more)


def gemma3(globals_at=(2, 4), **more):
    kinds = ["full_attention" if layer in globals_at else "sliding_attention" for layer in range(5)]
    both = dict(
        sliding_attention=dict(rope_type="default", rope_theta=100.0),
        full_attention=dict(rope_type="default", rope_theta=2000.0) | more,
    )
    return GEMMA | dict(num_hidden_layers=5, layer_types=kinds, rope_parameters=both, tie_word_embeddings=True)


# `published` says how older files put the same thing, as the checkpoints on the hub still do; `drop` what they leave out.
OLD_ROPE = ("rope_parameters", "layer_types")
OLD_GEMMA3 = dict(rope_theta=2000.0, rope_local_base_freq=100.0, sliding_window_pattern=3)
LINEAR = dict(rope_type="linear", factor=4.0)

FAMILIES = {
    "qwen2_tied": Family(
        "Qwen2", rope(500.0) | dict(tie_word_embeddings=True, rms_norm_eps=1e-2), stored="bfloat16",
        published=dict(rope_theta=500.0, sliding_window=4096, max_window_layers=2, use_sliding_window=False), drop=OLD_ROPE,
        adapters=("plain", "single"),
    ),
    "qwen2_untied": Family(
        "Qwen2", rope(500.0) | dict(tie_word_embeddings=False, rms_norm_eps=1e-2), shards=3,
        published=dict(rope_theta=500.0), drop=OLD_ROPE, adapters=("rslora", "regex"),
    ),
    "qwen3_tied": Family(
        "Qwen3", rope(500.0) | dict(tie_word_embeddings=True, head_dim=16, rms_norm_eps=1e-2), stored="bfloat16",
        published=dict(rope_theta=500.0, rope_scaling=None), drop=OLD_ROPE, adapters=("patterns",),
    ),
    "qwen3_untied": Family(
        "Qwen3", rope(500.0) | dict(tie_word_embeddings=False, rms_norm_eps=1e-2), stored="float16",
        published=dict(rope_theta=500.0), drop=OLD_ROPE, adapters=("layers",),
    ),
    "llama_tied": Family(
        "Llama", rope(500.0, **LLAMA3 | dict(factor=32.0)) | dict(tie_word_embeddings=True, head_dim=16, rms_norm_eps=1e-2),
        stored="bfloat16", published=dict(rope_theta=500.0, rope_scaling=LLAMA3 | dict(factor=32.0)), drop=OLD_ROPE,
        adapters=("plain",),
    ),
    "llama_untied": Family(
        "Llama", rope(500.0, **LLAMA3) | dict(tie_word_embeddings=False, head_dim=16, rms_norm_eps=1e-2), stored="bfloat16", shards=2,
        published=dict(rope_theta=500.0, rope_scaling=LLAMA3), drop=OLD_ROPE, adapters=("rslora", "single"),
    ),
    "llama_biased": Family(
        "Llama", rope(500.0) | dict(tie_word_embeddings=False, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-2),
        stored="bfloat16", published=dict(rope_theta=500.0, rope_scaling=None), drop=OLD_ROPE,
    ),
    "mistral": Family(
        "Mistral", rope(500.0) | dict(tie_word_embeddings=False, sliding_window=WINDOW, rms_norm_eps=1e-2), stored="bfloat16",
        published=dict(rope_theta=500.0), drop=OLD_ROPE, adapters=("layers", "regex"),
    ),
    "gemma2": Family(
        "Gemma2", GEMMA | rope(500.0) | dict(attn_logit_softcapping=10.0, final_logit_softcapping=8.0, tie_word_embeddings=True),
        published=dict(rope_theta=500.0), drop=OLD_ROPE, adapters=("patterns",),
    ),
    "gemma3": Family(
        "Gemma3Text", gemma3(globals_at=(2,)), stored="bfloat16", published=OLD_GEMMA3 | dict(rope_scaling=None), drop=OLD_ROPE,
        adapters=("plain",),
    ),
    "gemma3_linear": Family("Gemma3Text", gemma3(**LINEAR), stored="bfloat16", adapters=("rslora",)),
    "gemma3_multimodal": Family(
        "Gemma3Multimodal", gemma3(globals_at=(2,), **LINEAR), stored="bfloat16", shards=2,
        published=OLD_GEMMA3 | dict(rope_scaling=LINEAR), drop=OLD_ROPE,
    ),
}
