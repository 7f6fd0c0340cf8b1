//! Files that are damaged, or made to do harm, are refused by name or run; nothing panics.

use std::time::{Duration, Instant};

use airconv_onnx::encode::encode_model;
use airconv_tests::fuzz::seeds::{graph, model};
use airconv_tests::fuzz::{Corpus, Kind, Outcome, drive, keep_panics};

/// With the stack of a main thread.
fn with_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(8 << 20).spawn(f).unwrap().join().unwrap()
}

/// Mutated files, for some seconds at most.
fn mutated(kind: Kind, count: u64) {
    with_stack(move || {
        keep_panics();
        let corpus = Corpus::built_in();
        let start = Instant::now();
        let (mut ran, mut bad) = (0, Vec::new());
        for number in 0..count {
            if start.elapsed() > Duration::from_secs(25) {
                break;
            }
            match drive(kind, &corpus.case(kind, 1, number)) {
                Outcome::Panicked(text) => bad.push(format!("case {number}: {text}")),
                Outcome::Ran => ran += 1,
                Outcome::NotRead | Outcome::NotVerified | Outcome::Refused | Outcome::Broken(_) => {
                }
            }
        }
        // The hook of the process is ours, and silent: an assertion would say nothing.
        let _ = std::panic::take_hook();
        assert!(bad.is_empty(), "{bad:#?}");
        assert!(ran > 0, "no mutated file was a program any more");
    });
}

#[test]
fn mutated_onnx_does_not_panic() {
    mutated(Kind::Onnx, 1500);
}

#[test]
fn mutated_ir_does_not_panic() {
    mutated(Kind::Ir, 1500);
}

#[test]
fn mutated_irt_does_not_panic() {
    mutated(Kind::Irt, 1500);
}

#[test]
fn mutated_exported_programs_do_not_panic() {
    mutated(Kind::Pt2, 1500);
}

#[test]
fn mutated_torchscript_does_not_panic() {
    mutated(Kind::Script, 1500);
}

/// Runs a graph of one node through everything; what went wrong, if something did.
fn wrong(inputs: &[&str], tensors: &[&str], node: &str) -> Option<String> {
    let output = node.split_whitespace().next().unwrap_or_default();
    let bytes = encode_model(&model(graph(inputs, tensors, &[node], &[output]), 21)).unwrap();
    let start = Instant::now();
    let (send, receive) = std::sync::mpsc::channel();
    let worker = move || {
        let _ = send.send(drive(Kind::Onnx, &bytes));
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(worker).unwrap();
    match receive.recv_timeout(Duration::from_secs(10)) {
        Ok(Outcome::Panicked(text)) => Some(format!("{node}: {text}")),
        Ok(_) => None,
        Err(_) => Some(format!("{node}: not done after {:?}", start.elapsed())),
    }
}

#[test]
fn a_window_of_mostly_padding_is_not_walked() {
    let node = "y = LRN x ; size=4611686018427387904";
    assert_eq!(wrong(&["x:1:1,2,4,4"], &[], node), None);
}

#[test]
fn windows_beyond_memory_are_not_counted_one_by_one() {
    for kernel in ["[64,5]", "[4611686018427387904,1]"] {
        let node = format!("y = AveragePool x ; kernel_shape={kernel} ; pads=[2147483648,2,2,2]");
        assert_eq!(wrong(&["x:1:1,1,5,5"], &[], &node), None);
    }
}

#[test]
fn taps_of_a_tiny_scale_are_not_counted_below_zero() {
    let mut bad = Vec::new();
    let mut resize = |scales: &str, how: &str| {
        let node = format!("y = Resize x _ s ; {how}");
        bad.extend(wrong(&["x:1:1,1,4,4"], &[scales], &node));
    };
    for mode in ["linear", "cubic", "nearest"] {
        for scale in ["1e-38,4", "1e30,4", "4,1e9", "1e-9,1e-9", "1e18,1e-30"] {
            for rest in [
                "antialias=1",
                "antialias=0",
                "coordinate_transformation_mode=half_pixel_symmetric",
            ] {
                resize(&format!("s:1:4=4,4,{scale}"), &format!("mode={mode} ; {rest}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn a_long_axis_beside_an_empty_one_is_not_walked() {
    let long = "4611686018427387904";
    let w = format!("w:1:0,{long}");
    let mut bad = Vec::new();
    for line in [
        "y = SplitToSequence w ; axis=1",
        "y = ReduceSum w",
        "y = ReduceMax w ; keepdims=0",
        "y = Softmax w ; axis=1",
        "y = CumSum w one",
        "y = TopK w ones ; axis=1",
        "y = ArgMax w ; axis=1",
        "y = Transpose w",
        "y = Concat w w ; axis=1",
        "y = Tile w two",
        "y = MatMul w wt",
        "y = Gemm w w ; transA=1",
        "y = NonZero w",
        "y = Unique w",
        "y = Split w ; axis=1 ; num_outputs=2",
        "y = Flatten w ; axis=0",
        "y = Einsum w w ; equation=ij,ij->j",
        "y = LpNormalization w ; axis=0",
        "y = DynamicQuantizeLinear w",
        "y = GatherND w e",
        "y = Hardmax w",
        "y = EyeLike w",
        "y = Trilu w",
        "y = Compress w b ; axis=1",
        "y = OneHot w one two",
        "y = LayerNormalization w w",
        "y = ai.onnx.ml::Normalizer w",
        "y = ai.onnx.ml::ArrayFeatureExtractor w one",
    ] {
        let tensors = [
            &w[..],
            "one:7:=1",
            "ones:7:1=1",
            "two:7:2=1,2",
            &format!("wt:1:{long},0"),
            "e:7:4,0",
            "b:9:3=1,1,1",
        ];
        bad.extend(wrong(&[], &tensors, line));
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Nodes with a number to fill in.
const EXTREME: &[&str] = &[
    "y = Conv x w ; pads=[#,#,#,#]",
    "y = Conv x w ; pads=[0,0,#,0] ; strides=[1,#]",
    "y = Conv x w ; strides=[#,1]",
    "y = Conv x w ; dilations=[#,1]",
    "y = Conv x w ; dilations=[#,#] ; auto_pad=SAME_UPPER ; strides=[#,#]",
    "y = Conv x w ; group=#",
    "y = ConvTranspose x v ; output_padding=[#,0]",
    "y = ConvTranspose x v ; output_shape=[#,#]",
    "y = ConvTranspose x v ; strides=[#,#]",
    "y = ConvTranspose x v ; pads=[#,0,#,0] ; dilations=[1,#]",
    "y = MaxPool x ; kernel_shape=[#,2]",
    "y = MaxPool x ; kernel_shape=[2,2] ; strides=[#,#] ; ceil_mode=1",
    "y = MaxPool x ; kernel_shape=[2,2] ; pads=[#,#,#,#] ; ceil_mode=1",
    "y = MaxPool x ; kernel_shape=[2,#] ; dilations=[#,1] ; auto_pad=SAME_LOWER",
    "y = AveragePool x ; kernel_shape=[#,#] ; pads=[#,0,0,#] ; count_include_pad=1",
    "y = AveragePool x ; kernel_shape=[2,2] ; dilations=[#,#] ; ceil_mode=1",
    "y = LpPool x ; kernel_shape=[2,2] ; p=#",
    "y = LRN x ; size=#",
    "y = DepthToSpace x ; blocksize=#",
    "y = SpaceToDepth x ; blocksize=#",
    "y = Softmax x ; axis=#",
    "y = Flatten x ; axis=#",
    "y = Concat x x ; axis=#",
    "y = Gather x i ; axis=#",
    "y = Gather x n",
    "y = GatherElements x n4",
    "y = GatherND x n1 ; batch_dims=#",
    "y = GatherND x n2",
    "y = ScatterND x n2 x",
    "y = Transpose x ; perm=[0,#,2,3]",
    "y = Reshape x n2",
    "y = Reshape x n4 ; allowzero=1",
    "y = Expand x n4",
    "y = Tile x n4",
    "y = Pad x n8",
    "y = Pad x n8 ; mode=reflect",
    "y = Pad x n2 _ i1",
    "y = Slice x n1 i1 i1 n1",
    "y = Slice x n1 n1 i1 n1",
    "y = Slice x i1 n1 n1",
    "y = Squeeze x n1",
    "y = Unsqueeze x n2",
    "y = Split x n2 ; axis=1",
    "y = Split x ; axis=1 ; num_outputs=#",
    "y = TopK x n1 ; axis=#",
    "y = OneHot i n one2",
    "y = Range n i0 n",
    "y = Range i0 n i0",
    "y = Range n n n",
    "y = ConstantOfShape n2",
    "y = EyeLike m ; k=#",
    "y = Trilu m n",
    "y = CumSum x n",
    "y = ReduceSum x n1",
    "y = ReduceMean x n1 ; keepdims=#",
    "y = Shape x ; start=# ; end=#",
    "y = Resize x _ _ n4",
    "y = Resize x _ _ n4 ; mode=cubic ; antialias=1",
    "y = Col2Im co n2 n2",
    "y = Col2Im co two two ; dilations=[#,1] ; pads=[#,0,0,0] ; strides=[1,#]",
    "y = CenterCropPad x n2 ; axes=[2,3]",
    "y = AffineGrid th n4",
    "y = HannWindow n",
    "y = DFT x n ; axis=#",
    "y = STFT sg n win",
    "y = STFT sg two0 win n",
    "y = MelWeightMatrix n n n f f",
    "y = BitShift u u ; direction=LEFT",
    "y = Mod n1 i1",
    "y = Div n1 i1",
    "y = Div n1 m1",
    "y = Mod n1 m1 ; fmod=1",
    "y = Pow n1 n1",
    "y = Abs n1",
    "y = Neg n1",
    "y = Mul n1 n1",
    "y = Sub m1 n1",
    "y = ReduceProd n4",
    "y = Cast n1 ; to=#",
    "y = Cast x ; to=3",
    "y = RandomNormal ; shape=[#,#]",
    "y = Multinomial m ; sample_size=#",
    "y = SplitToSequence x n ; axis=#",
    "y = SplitToSequence x n2 ; axis=1",
    "y = SequenceEmpty ; dtype=#",
    "y = NonMaxSuppression bx sc n",
    "y = RoiAlign x ro ri ; output_height=# ; output_width=2 ; sampling_ratio=#",
    "y = MaxRoiPool x r5 ; pooled_shape=[#,2]",
    "y = MaxUnpool x ix ; kernel_shape=[#,2] ; strides=[#,2]",
    "y = GroupNormalization x g g ; num_groups=#",
    "y = LayerNormalization x g ; axis=#",
    "y = ReverseSequence m n2 ; batch_axis=# ; time_axis=1",
    "y = ArgMax x ; axis=#",
    "y = Compress x b ; axis=#",
    "y = Unique x ; axis=#",
    "y = Hardmax x ; axis=#",
    "y = QuantizeLinear x g z ; axis=# ; block_size=#",
    "y = Einsum m m ; equation=ij,jk",
    "y = Attention x x x ; q_num_heads=# ; kv_num_heads=#",
    "y = RotaryEmbedding x c2 c2 ; num_heads=# ; rotary_embedding_dim=#",
    "y = LSTM sq lw lr ; hidden_size=#",
    "y = StringSplit st ; maxsplit=#",
    "y = TfIdfVectorizer n4 ; mode=TF ; max_gram_length=# ; min_gram_length=1 ; max_skip_count=# ; ngram_counts=[0,#] ; ngram_indexes=[#,1] ; pool_int64s=[1,2]",
    "y = ai.onnx.ml::TreeEnsembleRegressor m ; n_targets=# ; nodes_treeids=[0,0,0] ; nodes_nodeids=[0,1,2] ; nodes_featureids=[#,0,0] ; nodes_values=[0.5,0.0,0.0] ; nodes_modes=[BRANCH_LEQ,LEAF,LEAF] ; nodes_truenodeids=[1,0,0] ; nodes_falsenodeids=[2,0,0] ; target_treeids=[0,0] ; target_nodeids=[1,2] ; target_ids=[0,#] ; target_weights=[0.5,1.5]",
    "y = ai.onnx.ml::SVMClassifier m ; vectors_per_class=[#,#,2] ; coefficients=[0.5,0.5] ; classlabels_ints=[1,2,3] ; support_vectors=[0.5,1.5,0.5,0.5] ; rho=[0.5,0.5,0.5]",
    "y = com.microsoft::FusedMatMul m m ; transA=# ; transB=1",
    "y = com.microsoft::MatMulNBits m nb g ; K=# ; N=# ; bits=4 ; block_size=16",
    "y = com.microsoft::Attention x3 aw ab ; num_heads=#",
    "y = com.microsoft::MultiHeadAttention x3 x3 x3 ; num_heads=#",
    "y = com.microsoft::GroupQueryAttention x3 x3 x3 _ _ ri ri ; num_heads=# ; kv_num_heads=#",
];

fn extreme(number: i64, of: std::ops::Range<usize>) -> Vec<String> {
    let f = |t: &str| t.replace('#', &number.to_string());
    let tensors: Vec<String> = [
        "w:1:2,2,3,3",
        "v:1:2,2,3,3",
        "i:7:2=0,1",
        "i0:7:=1",
        "i1:7:1=1",
        "m1:7:1=-1",
        "one2:1:2=0,1",
        "n:7:=#",
        "n1:7:1=#",
        "n2:7:2=1,#",
        "n4:7:4=1,2,#,#",
        "n8:7:8=0,0,#,0,0,0,0,#",
        "two:7:2=2,2",
        "two0:7:=2",
        "u:12:3",
        "co:1:1,8,4",
        "th:1:1,2,3",
        "sg:1:1,16,1",
        "win:1:4",
        "f:1:=1",
        "bx:1:1,3,4",
        "sc:1:1,1,3",
        "ro:1:1,4",
        "ri:7:1=0",
        "r5:1:1,5",
        "ix:7:1,2,4,4",
        "g:1:2",
        "b:9:4=1,0,1,0",
        "z:3:2",
        "c2:1:4,2",
        "sq:1:3,1,2",
        "lw:1:1,8,2",
        "lr:1:1,8,2",
        "st:8:3",
        "nb:2:2,1,8",
        "aw:1:4,12",
        "ab:1:12",
    ]
    .iter()
    .map(|t| t.replace("n4:7:4=1,2,#,#", "n4:7:1,2,1,2=0,0,#,0"))
    .map(|t| f(&t))
    .collect();
    let known = ["x:1:1,2,4,4", "m:1:2,2", "x3:1:1,2,4"];
    let open = ["x:1:n,2,h,w", "m:1:n,2", "x3:1:n,s,4"];
    let mut bad = Vec::new();
    for line in &EXTREME[of] {
        let line = f(line);
        let flat = tensors.iter().map(|t| {
            if t.starts_with("n4:") && !line.contains("Elements") {
                f("n4:7:4=1,2,#,#")
            } else {
                t.clone()
            }
        });
        let words: Vec<&str> = line.split([' ', ';']).collect();
        let used = |t: &str| words.contains(&t.split(':').next().unwrap_or_default());
        let stored: Vec<String> = flat.filter(|t| used(t)).collect();
        let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
        for inputs in [known, open] {
            let inputs: Vec<&str> = inputs.into_iter().filter(|t| used(t)).collect();
            bad.extend(wrong(&inputs, &stored, &line));
        }
    }
    bad
}

#[test]
fn extreme_numbers_are_refused_or_run() {
    let mut bad = Vec::new();
    for &number in &[0, -1, 3, 1 << 24, i64::from(i32::MAX), 1 << 40, 1 << 62, i64::MAX, i64::MIN] {
        bad.extend(extreme(number, 0..EXTREME.len()));
    }
    assert!(bad.is_empty(), "{bad:#?}");
}
