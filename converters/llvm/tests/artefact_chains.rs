//! Attention in native artefacts: products and what lies between them in blocks of rows, with the
//! numbers of the interpreter.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "common/net.rs"]
mod net;

use airconv_llvm::artefact::{Sanitizer, Settings};
use net::{Net, compare, settings};

/// Attention of three heads with a mask, whose operands lie head by head within each token; it
/// gives the probabilities, too, where they are asked for.
fn attention(queries: usize, keys: usize, shows: bool) -> Net {
    let (m, n) = (queries, keys);
    let (out, more) = if shows { ("\n  out \"p\": user", ", %10") } else { ("", "") };
    let text = format!(
        r#"airconv 0.1

func @0 "net" {{
  in "q": user
  in "k": user
  in "v": user
  in "mask": user
  out "y": user{out}
  body ^0(%0 "q": f32[1, {m}, 3, 40], %1 "k": f32[1, {n}, 3, 40], %2 "v": f32[1, {n}, 3, 24], %3 "mask": f32[1, 1, 1, {n}]) {{
    %4: f32[1, 3, {m}, 40] = transpose(%0) {{perm = [0, 2, 1, 3]}}
    %5: f32[1, 3, 40, {n}] = transpose(%1) {{perm = [0, 2, 3, 1]}}
    %6: f32[1, 3, {n}, 24] = transpose(%2) {{perm = [0, 2, 1, 3]}}
    %7: f32[1, 3, {m}, {n}] = matmul(%4, %5)
    %8: f32[1, 3, {m}, {n}] = broadcast(%3) {{dims = [1, 3, {m}, {n}]}}
    %9: f32[1, 3, {m}, {n}] = add(%7, %8)
    %10: f32[1, 3, {m}, {n}] = softmax(%9) {{axes = [3]}}
    %11: f32[1, 3, {m}, 24] = matmul(%10, %6)
    %12: f32[1, {m}, 3, 24] = transpose(%11) {{perm = [0, 2, 1, 3]}}
    return %12{more}
  }}
}}
"#
    );
    let mut outputs = vec![vec![1, m, 3, 24]];
    outputs.extend(shows.then(|| vec![1, 3, m, n]));
    let inputs = vec![
        ("q", vec![1, m, 3, 40]),
        ("k", vec![1, n, 3, 40]),
        ("v", vec![1, n, 3, 24]),
        ("mask", vec![1, 1, 1, n]),
    ];
    Net { text, inputs, outputs }
}

#[test]
fn attention_is_done_in_blocks() {
    let net = attention(301, 310, false);
    assert!(net.driver(&[]).contains("ac_run_chain(&x->e"));
    let usual = net.usual();
    let wanted = net.expected(&usual);
    for sanitizer in [None, Some(Sanitizer::Address), Some(Sanitizer::Thread)] {
        let dir = tempfile::tempdir().unwrap();
        net.build(dir.path(), &Settings { sanitizer, ..settings(&[]) });
        for threads in [1, 2, 5] {
            compare(&net.run(dir.path(), &usual, threads), &wanted, 1e-5);
        }
    }
}

#[test]
fn what_is_seen_elsewhere_is_made_as_a_whole() {
    let net = attention(301, 310, true);
    assert!(!net.driver(&[]).contains("ac_run_chain("));
    let usual = net.usual();
    let dir = tempfile::tempdir().unwrap();
    net.build(dir.path(), &settings(&[]));
    // Numbers of about one, and probabilities, whose errors are relative.
    let (got, [wanted, _]) = (net.run(dir.path(), &usual, 2), net.expected(&usual));
    let sizes: Vec<f32> = wanted.iter().map(|x| x.abs()).collect();
    let y = 301 * 3 * 24;
    compare(&got[..y], &[wanted[..y].to_vec(), vec![1.0; y]], 1e-5);
    compare(&got[y..], &[wanted[y..].to_vec(), sizes[y..].to_vec()], 1e-5);
}
