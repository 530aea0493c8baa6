"""Attention of PyTorch on a GPU at the shapes of `build/bench gpu`: scaled_dot_product_attention, forward + backward, bf16."""
import time
try:
    import torch
except ImportError:
    raise SystemExit("skipped: PyTorch is not installed, so its attention is not measured")
if not torch.cuda.is_available():
    raise SystemExit("skipped: PyTorch sees no GPU, so its attention is not measured")

print(f"PyTorch {torch.__version__} scaled_dot_product_attention, bf16, batch 32, 6 heads of 64, forward + backward")
for L in (49, 196, 784, 3136):
    q, k, v = (torch.randn(32, 6, L, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    do = torch.randn_like(q)

    def step():
        torch.nn.functional.scaled_dot_product_attention(q, k, v).backward(do)

    best = float("inf")
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            step()
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - start) / 20)
    print(f"  L {L:<5} softmax {1e3 * best:9.3f} ms")
