"""The Kubernetes manifests are valid and consistent with the image and the service."""

import base64
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from neuralbits.app import server
from neuralbits.app.main import create_app
from neuralbits.app.settings import Settings
from tests.docker.test_docker import ROOT, stages, variables, words
from tests.support.requirements import needs
from tests.support.services import environment, started
from tests.support.waiting import until

FOLDER = ROOT / "docker" / "kubernetes"
OLDEST = "1.30"  # the first in which a pod sleeps before it stops, unless a cluster forbids it
VERSIONS = [OLDEST, kubernetes_validate.latest_version()]
Manifest = dict[str, Any]


def manifest(name: str) -> Manifest:
    loaded: Manifest = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return loaded


KUSTOMIZATION = manifest("kustomization")
MANIFESTS = {name: manifest(Path(name).stem) for name in KUSTOMIZATION["resources"]}
DEPLOYMENT = manifest("deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRONMENT = {each["name"]: each for each in CONTAINER["env"]}
(GENERATED,) = KUSTOMIZATION["configMapGenerator"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_each_manifest_fits_its_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_a_manifest_with_an_unknown_field_does_not_fit_its_schema() -> None:
    wrong = yaml.safe_load((FOLDER / "deployment.yaml").read_text())
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_every_manifest_is_applied() -> None:
    assert {file.name for file in FOLDER.glob("*.yaml")} == {*MANIFESTS, "kustomization.yaml"}
    kinds = {each["kind"] for each in MANIFESTS.values()}
    assert kinds == {
        *("Deployment", "Service", "HorizontalPodAutoscaler"),
        *("PodDisruptionBudget", "NetworkPolicy"),
    }


def test_every_selector_selects_the_pods_of_the_deployment() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"] == {"matchLabels": labels}
    assert manifest("service")["spec"]["selector"] == labels
    assert manifest("disruption-budget")["spec"]["selector"] == {"matchLabels": labels}
    assert manifest("network-policy")["spec"]["podSelector"] == {"matchLabels": labels}
    (spread,) = POD["topologySpreadConstraints"]
    assert spread["labelSelector"] == {"matchLabels": labels}
    target = manifest("autoscaler")["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": DEPLOYMENT["apiVersion"],
        "kind": DEPLOYMENT["kind"],
        "name": DEPLOYMENT["metadata"]["name"],
    }
    assert "replicas" not in DEPLOYMENT["spec"]  # which would override the autoscaler when applied


def test_the_services_port_is_the_containers_port() -> None:
    (listening,) = CONTAINER["ports"]
    assert words(stages("Dockerfile")[-1], "EXPOSE") == [str(listening["containerPort"])]
    assert manifest("service")["spec"]["ports"][0]["targetPort"] == listening["name"]
    probes = [CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {listening["name"]}
    policy = manifest("network-policy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [
        {"ports": [{"protocol": "TCP", "port": listening["containerPort"]}]}
    ]
    assert policy["egress"] == []


def test_the_probes_use_paths_that_need_no_key(artifact_path: Path) -> None:
    paths = create_app(Settings(artifact=artifact_path)).openapi()["paths"]
    for kind, path in [("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/healthz")]:
        assert CONTAINER[f"{kind}Probe"]["httpGet"]["path"] == path
        assert path in paths
        assert "401" not in paths[path]["get"]["responses"]


def test_the_service_starts_with_the_environment_of_the_deployment() -> None:
    image = variables(stages("Dockerfile")[-1])
    given = {name: each.get("value", "sha256:" + "0" * 64) for name, each in ENVIRONMENT.items()}
    ours = {name: v for name, v in (image | given).items() if name.startswith("NEURALBITS_")}
    fields = {name.removeprefix("NEURALBITS_").lower(): value for name, value in ours.items()}
    assert fields.keys() <= Settings.model_fields.keys()
    settings = Settings.read(**fields)
    assert settings.watch
    assert not settings.open
    assert len(settings.api_keys) == 1


def test_no_variable_of_the_cluster_overrides_a_setting() -> None:
    # For a service NAME, Kubernetes sets NAME_PORT in each pod, to a URL.
    link = manifest("service")["metadata"]["name"].upper() + "_PORT"
    assert link in {f"NEURALBITS_{field.upper()}" for field in Settings.model_fields}
    assert POD["enableServiceLinks"] is False


def test_keys_come_from_a_secret_that_is_not_here() -> None:
    source = ENVIRONMENT["NEURALBITS_API_KEYS"]["valueFrom"]["secretKeyRef"]
    created = "kubectl create secret generic {name} --from-literal={key}=".format(**source)
    assert created in (ROOT / "docs" / "operations.md").read_text()
    assert "Secret" not in {each["kind"] for each in MANIFESTS.values()}


def test_the_artifact_is_mounted_where_the_service_reads_it() -> None:
    (volume,) = POD["volumes"]
    (mount,) = CONTAINER["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["configMap"]["name"] == GENERATED["name"]
    assert "subPath" not in mount  # because the kubelet never updates such a mount
    (file,) = GENERATED["files"]
    assert ENVIRONMENT["NEURALBITS_ARTIFACT"]["value"] == f"{mount['mountPath']}/{file}"
    # With a hash in its name, a new artifact would replace the pods instead.
    assert KUSTOMIZATION["generatorOptions"]["disableNameSuffixHash"] is True


def test_an_updated_artifact_is_served_without_a_new_pod(tmp_path: Path) -> None:
    volume = tmp_path / "models"
    volume.mkdir()
    (file,) = GENERATED["files"]

    def update(version: str, name: str) -> None:
        """Update the volume as the kubelet does: all of it at once, by a link to a new folder."""
        (volume / version).mkdir()
        shutil.copy(ROOT / "artifacts" / name, volume / version / file)
        (volume / "..data_tmp").symlink_to(version)
        (volume / "..data_tmp").rename(volume / "..data")

    update("..1", "home-assistant-en.safetensors")
    (volume / file).symlink_to(f"..data/{file}")
    given = environment(
        artifact=volume / file, port=0, watch=ENVIRONMENT["NEURALBITS_WATCH"]["value"]
    )
    with started(tmp_path, ["-m", "neuralbits.app"], given) as service:
        first = service.get("/readyz").json()
        update("..2", "clinc150.safetensors")
        shutil.rmtree(volume / "..1")
        until(lambda: service.get("/readyz").json()["reload"])
        now = service.get("/readyz").json()
        assert now["reload"]["status"] == "loaded"
        assert now["digest"] != first["digest"]


def test_the_pod_is_locked_down() -> None:
    user, group = words(stages("Dockerfile")[-1], "USER")[-1].split(":")
    assert POD["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False


def test_the_limits_are_those_with_which_the_image_is_verified() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    verified = compose["services"]["neuralbits"]
    memory = CONTAINER["resources"]["limits"]["memory"]
    assert memory.removesuffix("Mi") == verified["mem_limit"].removesuffix("m")
    assert CONTAINER["resources"]["requests"]["memory"] == memory
    largest = ENVIRONMENT["NEURALBITS_MAX_BODY"]["value"]
    assert int(largest) == verified["environment"]["NEURALBITS_MAX_BODY"]


def test_a_pod_stops_without_losing_a_request() -> None:
    leaving = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["terminationGracePeriodSeconds"] > leaving + server._GRACE
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert manifest("autoscaler")["spec"]["minReplicas"] > 1


@needs("kubectl", package="kubernetes-client")
def test_the_kustomization_lists_the_applied_manifests(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    shipped = ROOT / "artifacts" / "home-assistant-en.safetensors"
    shutil.copy(shipped, tmp_path / "kubernetes" / GENERATED["files"][0])
    command = ["kubectl", "kustomize", str(tmp_path / "kubernetes")]
    made = list(yaml.safe_load_all(subprocess.check_output(command)))
    for each in made:
        kubernetes_validate.validate(each, OLDEST, strict=True)
    assert len(made) == len(MANIFESTS) + 1
    (models,) = [each for each in made if each["kind"] == "ConfigMap"]
    assert models["metadata"]["name"] == GENERATED["name"]
    (content,) = models["binaryData"].values()
    assert base64.b64decode(content) == shipped.read_bytes()
    (deployment,) = [each for each in made if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert re.fullmatch(r"[a-z./]+/neuralbits:\d+\.\d+\.\d+", container["image"])
