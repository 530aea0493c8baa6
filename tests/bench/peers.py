#!/usr/bin/env python3
"""Training and inference beside PyTorch, JAX, OpenVINO and ONNX Runtime, interleaved in one run: images/s and ratios.

  peers.py [--bench build/bench] [--models cifar:64,s16:16] [--rounds 3] [--threads 2]

Needs a Python with what is to be compared (torch and timm; jax; openvino, onnxruntime, onnx); what is missing is left out
and named. Every contender is a process that answers "train N" and "infer N" with {"s": seconds}; this file is also the peers' worker."""
import argparse, importlib.util, json, os, statistics, subprocess, sys, tempfile, time

MODELS = {  # width, depth, heads, patch, image, class token
    'cifar': (192, 6, 3, 4, 32, 10, False), 'ti16': (192, 12, 3, 16, 224, 1000, True), 's16': (384, 12, 6, 16, 224, 1000, True), 's32': (384, 12, 6, 32, 224, 1000, True)}


def torch_model(name):
    from timm.models.vision_transformer import VisionTransformer
    D, depth, H, P, S, classes, cls = MODELS[name]
    return VisionTransformer(img_size=S, patch_size=P, embed_dim=D, depth=depth, num_heads=H, num_classes=classes, class_token=cls, global_pool='token' if cls else 'avg')


def torch_worker(name, batch, precision):
    import contextlib, torch
    model, S, classes = torch_model(name), MODELS[name][4], MODELS[name][5]
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x, y = torch.randn(batch, 3, S, S), torch.randint(classes, (batch,))
    cast = lambda: torch.autocast('cpu', torch.bfloat16) if precision == 'bf16' else contextlib.nullcontext()

    def train():
        model.train()
        with cast(): loss = torch.nn.functional.cross_entropy(model(x).float(), y)
        adam.zero_grad(); loss.backward(); adam.step()

    def infer():
        model.eval()
        with torch.no_grad(), cast(): model(x)
    return train, infer


def jax_worker(name, batch, precision, relu):
    import jax, jax.numpy as jnp
    D, depth, H, P, S, classes, cls = MODELS[name]
    N, key = (S // P) ** 2, iter(jax.random.split(jax.random.PRNGKey(0), 1000))
    dense = lambda i, o: {'w': jax.random.normal(next(key), (i, o)) / i ** .5, 'b': jnp.zeros(o)}
    norm = lambda: {'s': jnp.ones(D), 'b': jnp.zeros(D)}
    p = {'patch': dense(3 * P * P, D), 'pos': jax.random.normal(next(key), (N, D)) * .02, 'cls': jnp.zeros((1, 1, D)), 'norm': norm(), 'head': dense(D, classes),
         'blocks': [{'n1': norm(), 'qkv': dense(D, 3 * D), 'proj': dense(D, D), 'n2': norm(), 'fc1': dense(D, 4 * D), 'fc2': dense(4 * D, D)} for _ in range(depth)]}
    linear = lambda q, x: x @ q['w'] + q['b']
    layernorm = lambda q, x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6) * q['s'] + q['b']

    def forward(p, x):
        x = x.reshape(batch, S // P, P, S // P, P, 3).transpose(0, 1, 3, 2, 4, 5).reshape(batch, N, -1)
        x = linear(p['patch'], x) + p['pos']
        if cls: x = jnp.concatenate([jnp.broadcast_to(p['cls'], (batch, 1, D)), x], 1)
        L = x.shape[1]
        for b in p['blocks']:
            q, k, v = linear(b['qkv'], layernorm(b['n1'], x)).reshape(batch, L, 3, H, D // H).transpose(2, 0, 3, 1, 4)
            s = q @ k.swapaxes(-1, -2) / (D // H) ** .5
            a = jax.nn.relu(s) / L if relu else jax.nn.softmax(s)
            x = x + linear(b['proj'], (a @ v).transpose(0, 2, 1, 3).reshape(batch, L, D))
            x = x + linear(b['fc2'], jax.nn.gelu(linear(b['fc1'], layernorm(b['n2'], x))))
        x = layernorm(p['norm'], x)
        return linear(p['head'], x[:, 0] if cls else x.mean(1))

    x, y = jax.random.normal(next(key), (batch, S, S, 3)), jnp.arange(batch) % classes
    loss = lambda p: -jnp.take_along_axis(jax.nn.log_softmax(forward(p, x)), y[:, None], 1).mean()

    def update(state):
        p, m, v, t = state
        g = jax.grad(loss)(p)
        m, v = jax.tree.map(lambda m, g: .9 * m + .1 * g, m, g), jax.tree.map(lambda v, g: .999 * v + .001 * g * g, v, g)
        p = jax.tree.map(lambda p, m, v: p - 1e-4 * (m / (1 - .9 ** t)) / (jnp.sqrt(v / (1 - .999 ** t)) + 1e-8), p, m, v)
        return p, m, v, t + 1
    update, forward = jax.jit(update, donate_argnums=0), jax.jit(forward)
    zeros = lambda: jax.tree.map(jnp.zeros_like, p)
    state = [(p, zeros(), zeros(), 1.)]

    def train(): state[0] = jax.block_until_ready(update(state[0]))
    def infer(): jax.block_until_ready(forward(state[0][0], x))
    return train, infer


def exported(name, batch):
    import torch
    path, S = os.path.join(tempfile.gettempdir(), f'relucent_peer_{name}_{batch}.onnx'), MODELS[name][4]
    if not os.path.exists(path): torch.onnx.export(torch_model(name).eval(), (torch.randn(batch, 3, S, S),), path, dynamo=False)
    return path


def openvino_worker(name, batch, precision, threads):
    import numpy, openvino
    S = MODELS[name][4]
    model = openvino.Core().compile_model(exported(name, batch), 'CPU', {'INFERENCE_PRECISION_HINT': precision, 'INFERENCE_NUM_THREADS': threads})
    x, request = numpy.random.randn(batch, 3, S, S).astype('float32'), model.create_infer_request()
    return None, lambda: request.infer([x])


def onnxruntime_worker(name, batch, threads):
    import numpy, onnxruntime
    S, options = MODELS[name][4], onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(exported(name, batch), options, providers=['CPUExecutionProvider'])
    x = numpy.random.randn(batch, 3, S, S).astype('float32')
    return None, lambda: session.run(None, {session.get_inputs()[0].name: x})


def worker(kind, name, batch, threads):
    what, precision = kind.rsplit('_', 1)
    if what == 'torch':
        import torch
        torch.set_num_threads(threads)
    work = {'torch': lambda: torch_worker(name, batch, precision), 'jax_relu': lambda: jax_worker(name, batch, precision, True), 'jax_softmax': lambda: jax_worker(name, batch, precision, False),
            'openvino': lambda: openvino_worker(name, batch, 'f32' if precision == 'f32' else 'bf16', threads), 'onnxruntime': lambda: onnxruntime_worker(name, batch, threads)}[what]()
    print('{"ready": 1}', flush=True)
    for line in sys.stdin:
        if line.startswith('quit'): break
        mode, n = line.split()
        step, start = work[mode == 'infer'], time.perf_counter()
        for _ in range(int(n)): step()
        print(json.dumps({'s': time.perf_counter() - start}), flush=True)


def answer(process):
    for line in process.stdout:
        if line.startswith('{'): return json.loads(line)


def ask(process, line):
    process.stdin.write(line + '\n'); process.stdin.flush()
    return answer(process)


def compare(a, name, batch, mode):
    has = lambda *modules: all(importlib.util.find_spec(m) for m in modules)
    kinds = [f'ours_{f}_{p}' for p in ('f32', 'bf16') for f in ('softmax', 'relu')]
    if has('torch', 'timm'): kinds += ['torch_f32', 'torch_bf16']
    if has('jax'): kinds += ['jax_softmax_f32', 'jax_relu_f32']
    if mode == 'infer' and has('openvino', 'torch', 'timm', 'onnx'): kinds += ['openvino_f32', 'openvino_bf16']
    if mode == 'infer' and has('onnxruntime', 'torch', 'timm', 'onnx'): kinds += ['onnxruntime_f32']
    env = dict(os.environ, OMP_NUM_THREADS=str(a.threads), XLA_FLAGS=f'--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={a.threads}')
    running = {}
    for kind in kinds:
        if kind.startswith('ours_'):
            _, function, precision = kind.split('_')
            command = [a.bench, 'worker', '--model', name, '--batch', str(batch), '--attention', function, '--precision', precision, '--threads', str(a.threads)]
        else: command = [sys.executable, __file__, '--worker', kind, '--models', f'{name}:{batch}', '--threads', str(a.threads)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        if not answer(process) or not ask(process, f'{mode} 1'): print(f'{kind}: it does not run here', file=sys.stderr); continue
        running[kind] = (process, [])
    for _ in range(a.rounds):
        for process, times in running.values(): times.append(ask(process, f'{mode} {a.steps}')['s'] / a.steps)
    speed = {kind: (batch / min(times), batch / statistics.median(times)) for kind, (_, times) in running.items()}
    for process, _ in running.values(): process.communicate('quit\n')
    for kind, (best, median) in sorted(speed.items(), key=lambda s: -s[1][0]): print(f'{name:<6}{batch:>4} {mode:<6}{kind:<18}{best:>9.1f}{median:>9.1f}')
    for precision in ('f32', 'bf16'):
        ours, theirs = [[s[0] for kind, s in speed.items() if kind.endswith('_' + precision) and kind.startswith('ours') == mine] for mine in (True, False)]
        if ours and theirs: print(f'{name:<6}{batch:>4} {mode:<6}{precision}: here / best of the others = {max(ours) / max(theirs):.2f}', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bench', default='build/bench'); parser.add_argument('--models', default='cifar:64,ti16:32,s16:16,s32:32'); parser.add_argument('--worker')
    parser.add_argument('--rounds', type=int, default=3); parser.add_argument('--steps', type=int, default=2); parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--modes', default='train,infer')
    a = parser.parse_args()
    jobs = [(name, int(batch)) for name, batch in (m.split(':') for m in a.models.split(','))]
    if a.worker: worker(a.worker, *jobs[0], a.threads)
    else:
        print(f'{"model":<6}{"b":>4} {"":<6}{"contender":<18}{"best/s":>9}{"median":>9}')
        for name, batch in jobs:
            for mode in a.modes.split(','): compare(a, name, batch, mode)
