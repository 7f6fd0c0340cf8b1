"""What `airconv bench` compares with, one process each.

usage: peers.py PEER MODEL.onnx INPUTS.npz OUTPUTS.npz THREADS

Loads the model, runs it once, writes the outputs in order (0, 1, ...), and says
`ready NAME VERSION KIB`: by how many KiB the peak of resident memory grew since the
framework was imported. Then runs once per line read and answers with the nanoseconds.
A peer that is not installed says `absent WHY`, one that cannot run the model
`refused WHY`.
"""

import sys
import time


def peak():
    """The most resident memory so far in KiB. Not ru_maxrss, which begins with the parent's."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def fed(feeds, known):
    return {name: value for name, value in feeds.items() if name in known}


def ort(model, feeds, threads, runtime):
    """ONNX Runtime with all optimisations."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = fed(feeds, {spec.name for spec in session.get_inputs()})
    return lambda: session.run(None, given)


def openvino(model, feeds, threads, runtime):
    """OpenVINO at f32, one stream, subnormals flushed."""
    core = runtime.Core()
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
        "CPU_DENORMALS_OPTIMIZATION": True,
    }
    read = core.read_model(model)
    read.reshape({i: list(feeds[i.get_any_name()].shape) for i in read.inputs if i.get_any_name() in feeds})
    compiled = core.compile_model(read, "CPU", hints)
    request = compiled.create_infer_request()
    for port in compiled.inputs:
        value = np.ascontiguousarray(feeds[next(n for n in port.get_names() if n in feeds)])
        request.set_tensor(port, runtime.Tensor(value, shared_memory=True))

    def run():
        request.infer()
        return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]

    return run


PEERS = {
    "ort": ("onnxruntime", "ONNX Runtime", ort),
    "openvino": ("openvino", "OpenVINO", openvino),
}


def plain(array):
    """An array of its own, with strings as NumPy has them."""
    return array.astype(str) if array.dtype == object else np.array(array)


def line(*words):
    print(*(str(word).replace("\n", " ") for word in words), flush=True)


def main():
    global np
    peer, model, inputs, outputs, threads = sys.argv[1:]
    module, name, start = PEERS[peer]
    try:
        np = __import__("numpy")
        runtime = __import__(module)
    except ImportError as error:
        return line("absent", error)
    feeds = dict(np.load(inputs))
    before = peak()
    try:
        run = start(model, feeds, int(threads), runtime)
        first = run()
    except Exception as error:  # whatever it raises is its answer
        return line("refused", str(error)[:300])
    grown = peak() - before
    arrays = {str(i): plain(v) for i, v in enumerate(first) if isinstance(v, np.ndarray)}
    np.savez(outputs, **arrays)
    line("ready", name.replace(" ", "_"), runtime.__version__.split("-")[0], grown)
    for _ in sys.stdin:
        begin = time.perf_counter_ns()
        run()
        print(time.perf_counter_ns() - begin, flush=True)


main()
