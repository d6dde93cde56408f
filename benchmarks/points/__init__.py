"""How `configs/models/point-smollm2` is trained: lists (`data`), windows drawn from them (`window`), the training (`train`), the adapter
(`export`). Whoever wants a model like it for other passages begins here.

    bash configs/training/documentation.sh runs/documentation
    python -m benchmarks.points.data COLLECTIONS runs/lists --documentation runs/documentation/corpus.jsonl
    python -m benchmarks.points.train runs/lists runs/point
    python -m benchmarks.points.export runs/point runs/point/adapter

The shipped adapter came of earlier scripts with the same parts; configs/models/point-smollm2/README.md says where its run differed.
"""
