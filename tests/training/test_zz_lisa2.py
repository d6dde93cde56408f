import torch
from tests.training.conftest import *
from tests.training.gradients import step
from tests.training.test_processes import in_processes
def test_lisa(recipe, tmp_path):
    settings = {"steps": 3, "seed": 2, "optimiser": {"lr": 1e-3, "clip": 0}, "tuning": {"method":"lisa","lisa":{"layers":1,"every":1}}}
    step(recipe(**settings, batch={"windows":4,"accumulation":1}, output=str(tmp_path/"a")), str(tmp_path/"a.pt"))
    in_processes(2,"tests.training.gradients", recipe(**settings, batch={"windows":2,"accumulation":1}, output=str(tmp_path/"b")).model_dump_json(), str(tmp_path/"b.pt"))
    a,b=torch.load(tmp_path/"a.pt"),torch.load(tmp_path/"b.pt")
    print(sorted(a)==sorted(b), len(a))
    assert a.keys()==b.keys()
    for n in a: torch.testing.assert_close(a[n],b[n],rtol=0,atol=1e-5)
