//! String and random ops.

use airconv_ir::array::{Array, StrBytes};
use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::module::{Function, Module};
use airconv_ir::op::*;

fn try_run(op: impl Into<Op>, operands: &[Option<Array>]) -> Result<Vec<Array>, EvalError> {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    let operands: Vec<_> = operands.iter().map(|a| a.clone().map(Datum::from)).collect();
    let out = Interpreter::new(m, EvalLimits::default()).eval_op(&op.into(), &operands)?;
    Ok(out.into_iter().flatten().map(|d| d.as_array().unwrap().clone()).collect())
}

fn run(op: impl Into<Op>, operands: &[Option<Array>]) -> Vec<Array> {
    try_run(op, operands).unwrap()
}

fn strs(shape: &[usize], v: &[&str]) -> Option<Array> {
    Some(Array::from_strs(shape.to_vec(), v).unwrap())
}

fn texts(a: &Array) -> Vec<String> {
    let v = a.as_slice::<StrBytes>().unwrap();
    v.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
}

#[test]
fn strings_split_as_in_python() {
    let split = |text: &str, delimiter: &str, maxsplit| {
        let op = StringSplit { delimiter: delimiter.to_owned(), maxsplit };
        let out = run(op, &[strs(&[1], &[text])]);
        assert_eq!(out[1].to_i64s().unwrap(), [out[0].shape[1] as i64]);
        texts(&out[0])
    };
    assert_eq!(split("a,,b,", ",", None), ["a", "", "b", ""]);
    assert_eq!(split("a,,b", ",", Some(1)), ["a", ",b"]);
    assert_eq!(split("aaa", "aa", None), ["", "a"]);
    assert_eq!(split("  a \u{2003} b  c ", "", None), ["a", "b", "c"]);
    assert_eq!(split("  a  b  c ", "", Some(1)), ["a", "b  c "]);
    assert_eq!(split("", ",", None), [""]);
    assert!(split(" ", "", None).is_empty());
    let op = StringSplit { delimiter: "-".to_owned(), maxsplit: None };
    let out = run(op, &[strs(&[2], &["a", "b-c"])]);
    assert_eq!(
        (texts(&out[0]), out[0].shape.clone()),
        (["a", "", "b", "c"].map(String::from).to_vec(), vec![2, 2])
    );
}

#[test]
fn words_are_dropped_and_change_case() {
    let op = |case_change, case_sensitive| StringNormalizer {
        case_change,
        case_sensitive,
        stopwords: vec!["Monday".to_owned()],
        locale: String::new(),
    };
    let x = strs(&[1, 3], &["monday", "Monday", "stra\u{df}e"]);
    let y = run(op(CaseChange::Upper, true), std::slice::from_ref(&x)).remove(0);
    assert_eq!(
        (y.shape.as_slice(), texts(&y)),
        (&[1, 2][..], vec!["MONDAY".into(), "STRASSE".into()])
    );
    assert_eq!(texts(&run(op(CaseChange::None, false), &[x])[0]), ["stra\u{df}e"]);
    let y = run(op(CaseChange::None, true), &[strs(&[1], &["Monday"])]).remove(0);
    assert_eq!((y.shape.as_slice(), texts(&y)), (&[1][..], vec![String::new()]));
}

#[test]
fn patterns_match_whole_strings() {
    let matches = |pattern: &str, text: &str| {
        let out = run(RegexFullMatch { pattern: pattern.to_owned() }, &[strs(&[], &[text])]);
        out[0].as_slice::<bool>().unwrap()[0]
    };
    assert!(matches(r"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)", "account@gmail.com"));
    assert!(!matches("a|ab", "abc") && matches("a|ab", "ab"));
    assert!(!matches("a$", "a\n"));
    assert!(matches(".", "\u{e9}") && matches("", ""));
    assert!(!matches(r"\w", "\u{e9}") && matches(r"[\w\x{e9}]", "\u{e9}"));
    let bad = try_run(RegexFullMatch { pattern: "(".to_owned() }, &[strs(&[], &[""])]);
    assert!(matches!(bad.unwrap_err(), EvalError::Unsupported(_)));
}

#[test]
fn n_grams_are_counted_with_skips() {
    let op = |mode, max_skip_count| TfidfVectorizer {
        mode,
        min_gram_length: 1,
        max_gram_length: 2,
        max_skip_count,
        ngram_counts: vec![0, 4],
        ngram_indexes: vec![0, 1, 2, 3, 4, 5, 6],
        pool_int64s: vec![2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
        pool_strings: vec![],
        weights: vec![],
    };
    let x = Array::from_vec(vec![12], vec![1i32, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8]).unwrap();
    let counts = |op| run(op, &[Some(x.clone())])[0].to_f64s().unwrap();
    // From the documentation of ONNX's test cases.
    assert_eq!(counts(op(TfIdfMode::Tf, 5)), [0., 3., 1., 0., 1., 3., 1.]);
    assert_eq!(counts(op(TfIdfMode::Tf, 0)), [0., 3., 1., 0., 1., 1., 1.]);
    let mut weighted = op(TfIdfMode::Idf, 5);
    weighted.weights = (1..8).map(|n| Float(f64::from(n))).collect();
    assert_eq!(counts(weighted), [0., 2., 3., 0., 5., 6., 7.]);
}

fn draw(distribution: Distribution, dtype: DType, n: i64, seed: f64) -> Vec<f64> {
    let op = Rng {
        algorithm: RngAlgorithm::Philox,
        distribution,
        dtype,
        dims: vec![Dim::Known(n)],
        seed: Some(Float(seed)),
    };
    run(op, &[])[0].to_f64s().unwrap()
}

fn moments(v: &[f64]) -> (f64, f64) {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    (mean, v.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

#[test]
fn draws_have_their_distribution_and_repeat() {
    let uniform = draw(Distribution::Uniform, DType::F32, 20_000, 3.0);
    let (mean, variance) = moments(&uniform);
    assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 12.0).abs() < 0.005);
    assert!(uniform.iter().all(|&x| (0.0..1.0).contains(&x)));
    assert_eq!(uniform, draw(Distribution::Uniform, DType::F32, 20_000, 3.0));
    assert_ne!(uniform, draw(Distribution::Uniform, DType::F32, 20_000, 4.0));
    for dtype in [DType::F16, DType::F64] {
        let (mean, variance) = moments(&draw(Distribution::Normal, dtype, 20_000, 1.0));
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
    assert!(draw(Distribution::Uniform, DType::BF16, 5_000, 9.0).iter().all(|&x| x < 1.0));
}

#[test]
fn dropout_trains_and_does_not() {
    let x = Array::from_vec(vec![1000], vec![2f32; 1000]).unwrap();
    let ratio = Array::from_vec(vec![], vec![0.25f32]).unwrap();
    let mode = |b| Some(Array::from_vec(vec![], vec![b]).unwrap());
    let op = Dropout { seed: Some(Float(1.0)) };
    let idle = run(op.clone(), &[Some(x.clone()), Some(ratio.clone()), mode(false)]);
    assert_eq!(idle[0], x);
    assert!(idle[1].as_slice::<bool>().unwrap().iter().all(|&b| b));
    assert_eq!(run(op.clone(), &[Some(x.clone())])[0], x);
    let out = run(op, &[Some(x), Some(ratio), mode(true)]);
    let (y, mask) = (out[0].to_f64s().unwrap(), out[1].as_slice::<bool>().unwrap());
    let kept = mask.iter().filter(|&&b| b).count();
    assert!((700..800).contains(&kept), "{kept}");
    let want = f64::from(2.0f32 / 0.75);
    assert!(y.iter().zip(mask).all(|(&v, &b)| v == if b { want } else { 0.0 }));
}

#[test]
fn samples_follow_their_probabilities() {
    let logits = [0.1f32, 0.2, 0.7, 0.0].map(f32::ln);
    let x = Array::from_vec(vec![1, 4], logits.to_vec()).unwrap();
    let op = Multinomial { dtype: DType::I32, sample_size: 10_000, seed: Some(Float(5.0)) };
    let out = run(op, &[Some(x)]).remove(0);
    assert_eq!((out.dtype, out.shape.as_slice()), (DType::I32, &[1, 10_000][..]));
    let mut counts = [0; 4];
    out.to_i64s().unwrap().iter().for_each(|&c| counts[c as usize] += 1);
    assert!((900..1100).contains(&counts[0]) && (6800..7200).contains(&counts[2]), "{counts:?}");
    assert_eq!(counts[3], 0);
    let p = Array::from_vec(vec![3], vec![0.0f64, 1.0, 0.0]).unwrap();
    let out = run(Bernoulli { dtype: Some(DType::Bool), seed: None }, &[Some(p)]);
    assert_eq!(out[0].as_slice::<bool>().unwrap(), [false, true, false]);
}

#[test]
fn uniform_numbers_lie_between_their_bounds() {
    let op = RandomUniform {
        dims: vec![Dim::Known(2000)],
        dtype: DType::F32,
        low: Float(-3.0),
        high: Float(5.0),
        seed: None,
    };
    let v = run(op, &[])[0].to_f64s().unwrap();
    let (mean, variance) = moments(&v);
    assert!(v.iter().all(|x| (-3.0..5.0).contains(x)));
    assert!((mean - 1.0).abs() < 0.2 && (variance - 64.0 / 12.0).abs() < 0.4);
}
