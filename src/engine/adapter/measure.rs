//! Norms and rank-1 vectors of an adapter that lies in a file: what training measures at every step, without gradients.

use tch::{Kind, Tensor};

use super::{Adapter, Pair};
use crate::domain::metric::NormPoint;
use crate::domain::vectors::VectorModule;
use crate::engine::Result;

impl Adapter {
    /// Norms of every module at `step`, computed in doubles; NaN for what a file does not tell.
    ///
    /// `previous` is the same run's adapter one step before, where that is known: cosines are to it.
    pub fn norms(&self, step: u64, previous: Option<&Self>) -> Result<NormPoint> {
        let absent = || vec![f64::NAN; self.pairs.len()];
        let mut point = NormPoint {
            step,
            a_norm: Vec::new(),
            b_norm: Vec::new(),
            ba_norm: Vec::new(),
            a_grad_norm: absent(),
            b_grad_norm: absent(),
            b_cosine_previous: absent(),
            stable_rank: Vec::new(),
        };
        for (index, pair) in self.pairs.iter().enumerate() {
            let (a, b) = (double(&pair.a)?, double(&pair.b)?);
            let b_norm = norm(&b)?;
            point.a_norm.push(norm(&a)?);
            point.b_norm.push(b_norm);
            let product = product_norm(&a, &b)?;
            point.ba_norm.push(pair.module.scaling * product);
            point.stable_rank.push(stable_rank(&a, &b, product)?);
            if let Some(before) = previous.and_then(|before| before.pairs.get(index)) {
                point.b_cosine_previous[index] = cosine(&b, b_norm, before)?;
            }
        }
        Ok(point)
    }
}

impl Adapter {
    /// The modules of rank 1, whose vectors are kept.
    pub fn vector_modules(&self) -> Vec<VectorModule> {
        let modules = self.rank_one().map(|pair| VectorModule {
            name: pair.module.name.clone(),
            inputs: pair.a.numel() as u64,
            outputs: pair.b.numel() as u64,
        });
        modules.collect()
    }

    /// Their numbers, module by module, A before B.
    pub fn vectors(&self) -> Result<Vec<f32>> {
        let mut numbers = Vec::new();
        for side in self.rank_one().flat_map(|pair| [&pair.a, &pair.b]) {
            let flat = side
                .f_to_kind(Kind::Float)?
                .f_contiguous()?
                .f_flatten(0, -1)?;
            numbers.extend(Vec::<f32>::try_from(&flat)?);
        }
        Ok(numbers)
    }

    fn rank_one(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.module.rank == 1)
    }
}

fn double(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_to_kind(Kind::Double)?)
}

fn norm(matrix: &Tensor) -> Result<f64> {
    let squares = matrix.f_square()?.f_sum(Kind::Double)?;
    Ok(squares.f_double_value(&[])?.sqrt())
}

/// ‖BA‖ as √⟨BᵀB, AAᵀ⟩, which needs no matrix of outputs × inputs.
fn product_norm(a: &Tensor, b: &Tensor) -> Result<f64> {
    let of_a = a.f_matmul(&a.f_transpose(0, 1)?)?;
    let of_b = b.f_transpose(0, 1)?.f_matmul(b)?;
    let inner = of_a.f_mul(&of_b)?.f_sum(Kind::Double)?;
    Ok(inner.f_double_value(&[])?.max(0.0).sqrt())
}

/// ‖BA‖² over its largest singular value's square; NaN where BA is zero.
///
/// The squares of the singular values are the eigenvalues of √(AAᵀ)·BᵀB·√(AAᵀ), a matrix of rank × rank.
fn stable_rank(a: &Tensor, b: &Tensor, product: f64) -> Result<f64> {
    if product == 0.0 {
        return Ok(f64::NAN);
    }
    if a.size()[0] == 1 {
        return Ok(1.0);
    }
    let (values, vectors) = a.f_matmul(&a.f_transpose(0, 1)?)?.f_linalg_eigh("L")?;
    let roots = vectors.f_mul(&values.f_clamp_min(0.0)?.f_sqrt()?)?;
    let through = b.f_matmul(&roots)?;
    let squares = through.f_transpose(0, 1)?.f_matmul(&through)?;
    let largest = squares.f_linalg_eigvalsh("L")?.f_max()?;
    Ok(product * product / largest.f_double_value(&[])?)
}

/// Of B to what it was; NaN where either is zero.
fn cosine(b: &Tensor, b_norm: f64, before: &Pair) -> Result<f64> {
    let before = double(&before.b)?;
    let dot = b.f_mul(&before)?.f_sum(Kind::Double)?.f_double_value(&[])?;
    Ok(dot / (b_norm * norm(&before)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finetune::{LoraMethod, Projection};
    use crate::domain::metric::NormModule;
    use serde_json::json;

    /// A pair of random numbers with this rank.
    fn adapter(rank: i64) -> Adapter {
        tch::manual_seed(7);
        let random =
            |rows, columns| Tensor::randn([rows, columns], (Kind::Float, tch::Device::Cpu));
        let method: LoraMethod = serde_json::from_value(json!({"rank": rank, "alpha": 2})).unwrap();
        let config = json!({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 64, "hidden_size": 16,
            "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1});
        let config = crate::engine::model::config::ModelConfig::from_json(&config).unwrap();
        let settings = super::super::Settings::of_method(&method, &config);
        let module = NormModule {
            name: "layers.0.mlp.down_proj".into(),
            layer: 0,
            projection: Projection::DownProj,
            rank: rank as u32,
            scaling: 2.5,
        };
        let pair = Pair {
            module,
            a: random(rank, 24),
            b: random(16, rank),
        };
        Adapter {
            settings,
            pairs: vec![pair],
        }
    }

    #[test]
    fn norms_and_stable_rank_are_those_of_the_multiplied_out_matrix() {
        for rank in [1, 3, 8] {
            let adapter = adapter(rank);
            let pair = &adapter.pairs[0];
            let product = double(&pair.b).unwrap().matmul(&double(&pair.a).unwrap());
            let (_, values, _) = product.svd(true, false);
            let values = Vec::<f64>::try_from(values).unwrap();
            let squares: f64 = values.iter().map(|value| value * value).sum();
            let point = adapter.norms(4, Some(&adapter)).unwrap();
            // both sides in doubles
            let near = |found: f64, expected: f64| {
                assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}")
            };
            near(point.ba_norm[0], 2.5 * squares.sqrt());
            near(point.stable_rank[0], squares / values[0].powi(2));
            near(point.b_cosine_previous[0], 1.0);
            assert_eq!(adapter.vector_modules().len(), usize::from(rank == 1));
        }
    }

    #[test]
    fn an_untrained_pair_has_neither_a_stable_rank_nor_a_cosine() {
        let zero = adapter(2)
            .map(|pair| Ok((pair.a.shallow_clone(), pair.b.zeros_like())))
            .unwrap();
        let point = zero.norms(0, Some(&zero)).unwrap();
        assert_eq!(point.ba_norm, [0.0]);
        assert!(point.stable_rank[0].is_nan() && point.b_cosine_previous[0].is_nan());
    }

    #[test]
    fn a_fresh_adapter_changes_nothing_and_its_a_is_as_long_as_the_root_of_a_third_of_its_rank() {
        let config = json!({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 64, "hidden_size": 1024,
            "intermediate_size": 2048, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2});
        let config = crate::engine::model::config::ModelConfig::from_json(&config).unwrap();
        for rank in [1u8, 4, 32] {
            let method = json!({"rank": rank, "alpha": 64});
            let method: LoraMethod = serde_json::from_value(method).unwrap();
            let fresh =
                Adapter::init(&config, &method, 5, crate::engine::device::Device::Cpu).unwrap();
            let point = fresh.norms(0, None).unwrap();
            // numbers uniform within ±1/√in have squares of mean 1/(3·in); the length of 1,024 of them scatters by 1.4 %
            let expected = (f64::from(rank) / 3.0).sqrt();
            for found in &point.a_norm {
                assert!(
                    (found / expected - 1.0).abs() < 0.06,
                    "rank {rank}: {found} {expected}"
                );
            }
            assert!(
                point
                    .b_norm
                    .iter()
                    .chain(&point.ba_norm)
                    .all(|norm| *norm == 0.0)
            );
        }
    }
}
