"""The open Python implementation of example-based facial rigging, run unchanged on our arrays, in its own process.

Called by bench_rig.py: python benchmarks/example_based_peer.py CHECKOUT IN.npz OUT.npz. The loop is its notebook's; the
functions are imported from the checkout (local_packages). It needs numba, qpsolvers and quadprog; what it imports for
plots is stubbed, and so are names that left the packages since it was written.
"""

import sys
import time
import types
from pathlib import Path

import numpy as np
from scipy import sparse


def stub_plots() -> None:
    for name in (
        "plotly",
        "plotly.graph_objects",
        "plotly.subplots",
        "plotly.io",
        "pandas",
        "IPython",
        "IPython.display",
    ):
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
    for module, names in (("plotly.subplots", ("make_subplots",)), ("plotly.io", ("write_image",)),
                          ("IPython.display", ("clear_output",))):  # fmt: skip
        for name in names:
            setattr(sys.modules[module], name, lambda *_args, **_kwargs: None)
    sys.modules["plotly"].graph_objects = sys.modules["plotly.graph_objects"]
    import numba.core.extending as extending
    import numba.np.linalg as linalg

    if not hasattr(extending, "overload"):
        import numba.extending

        extending.overload = numba.extending.overload
    if not hasattr(linalg, "norm_impl"):
        linalg.norm_impl = None


def main() -> None:
    checkout, source, target = sys.argv[1:4]
    sys.path.insert(0, checkout)
    stub_plots()
    import local_packages.ExampleBasedRigging as ebr  # noqa: N813
    import local_packages.tools3d_ as t3d
    from qpsolvers import solve_qp

    given = np.load(source)
    tri, A_0, B_0 = given["triangles"], given["template"].T.copy(), given["neutral"].T.copy()
    A_BS_model = [offset.T.copy() for offset in given["units"]]
    S_training_poses = [pose.T.copy() for pose in given["examples"]]
    begun = time.perf_counter()
    kappa, theta, n_iterations = 0.1, 2, 3
    distribution = np.flip(np.logspace(0.1, 1, n_iterations, endpoint=True))
    beta = t3d.normalise(distribution, 0.02, 0.09)
    gamma = t3d.normalise(distribution, 80, 1000)
    n, m, n_vertices, num_triangles = len(A_BS_model), len(S_training_poses), A_0.shape[1], len(tri)
    Alpha_star = ebr.blend_shape_weights(A_0, B_0, A_BS_model, S_training_poses)
    A_0, B_0 = A_0.T.copy(), B_0.T.copy()
    A_BS_model = np.asarray(ebr.columnise(A_BS_model))
    S_training_poses = ebr.columnise(S_training_poses)
    poses = np.asarray(S_training_poses)
    M_A_star_f = ebr.make_M_A_star_fast(tri, A_0, B_0, A_BS_model)
    W_seed_f = ebr.make_W_seed_fast(tri, A_BS_model, kappa, theta)
    M_S_minus_M_B_0_f, _, _ = ebr.make_M_S_minus_M_B_0_fast(poses, B_0, tri)
    A_sparse_recon = ebr.make_A_sparse_reconstruction(tri, n_vertices)
    Alpha_optimum = Alpha_star.copy()
    B_BS_model = np.zeros((n, 3, n_vertices))
    for iteration in range(n_iterations):
        A = sparse.kron(Alpha_optimum, np.eye(3)).toarray()
        M_B = np.zeros((n * 3, 2 * num_triangles))
        M_B = ebr.lf_optimisation(
            num_triangles, A, M_S_minus_M_B_0_f, M_B, M_A_star_f, beta, gamma, W_seed_f, iteration, n, m
        )
        for number in range(n):
            x, y, z, _ = ebr.recon(M_B, A_sparse_recon, n_vertices, num_triangles, number)
            B_BS_model[number] = np.concatenate([x, y, z])
        # The notebook flattens the shapes component by component and the poses alike.
        B_All = B_BS_model.reshape(n, n_vertices * 3).T
        for i in range(m):
            residual = (poses[i] - B_0).T.reshape(n_vertices * 3, 1)
            qp_P = 2 * (B_All.T @ B_All + gamma[iteration] * np.identity(n))
            qp_q = -2 * (residual.T @ B_All + gamma[iteration] * Alpha_star[i, :]).flatten()
            Alpha_optimum[i] = solve_qp(P=qp_P, q=qp_q, lb=np.zeros(n), ub=np.ones(n), solver="quadprog")
        print(f"peer: round {iteration + 1} of {n_iterations}, {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    offsets = B_BS_model.transpose(0, 2, 1)
    skull = given["skull"]
    for offset in offsets:  # as the notebook saves them: laid on the neutral by the skull's landmarks
        shape = t3d.align_target_to_source((offset + B_0).T, tri.T, skull, B_0.T, tri.T, skull)
        offset[:] = shape.T - B_0
    np.savez(Path(target), seconds=time.perf_counter() - begun, offsets=offsets, weights=Alpha_optimum)


if __name__ == "__main__":
    main()
