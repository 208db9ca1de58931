#!/usr/bin/env bash
# Run the GPU tests on a machine that has torch, CuPy and pytest but reaches no package registry.
#
#   tests/gpu/run.sh pack [VERSION]   here: pack the other dependencies into gpu-packages.tar.xz,
#                                     for the machine's Python VERSION (3.12)
#   tests/gpu/run.sh run OUT          there: unpack them, run the tests, time nlp.pipe, and write
#                                     tests.xml, gpu.json and log.txt to the folder OUT
#
# faiss-cpu is packed. The wheel of faiss-gpu has 135 MB; the test that needs it is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
packed=gpu-packages.tar.xz
python=${PYTHON:-python3}

pack() {
    work=$(mktemp -d)  # global, for the trap
    trap 'rm -rf "$work"' EXIT
    # Without dependencies, so that the machine's own torch is used.
    local platforms=()
    for platform in manylinux_2_{28,27,24,17}_x86_64 manylinux2014_x86_64 manylinux1_x86_64; do
        platforms+=(--platform "$platform")
    done
    "$python" -m pip install --quiet --target "$work/site" --no-deps --only-binary=:all: \
        --implementation cp --python-version "${1:-3.12}" "${platforms[@]}" \
        'spacy>=3.8.13,<3.9' 'thinc>=8.3.12,<8.4' 'blis>=1.3,<1.4' 'srsly>=2.4.3,<3' \
        'spacy-transformers>=1.4,<1.5' 'transformers>=4.53,<4.53.3' 'tokenizers>=0.21,<0.22' \
        'huggingface-hub<1' 'spacy-alignments<1' 'spacy-legacy<3.1' 'spacy-loggers<2' \
        'catalogue<2.1' 'confection>=1.3,<2' 'wasabi<1.2' 'weasel<2' 'cloudpathlib<1' 'smart-open<8' \
        'cymem<3' 'preshed<3.1' 'murmurhash<1.1' 'langcodes<4' 'pydantic==2.12.5' \
        'pydantic-core==2.41.5' 'faiss-cpu>=1.15' 'filelock>=3.20.3' 'pillow>=12.3' 'snowballstemmer>=3.0'
    # Sources and tests are half of the size of compiled packages.
    find "$work/site" \( -name '*.cpp' -o -name '*.c' -o -name '*.pyx' -o -name '*.pxd' \) -delete
    find "$work/site" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
    tar -C "$work" -cJf "$packed" site
    du -h "$packed"
}

run() {
    local out=$1 site
    site=$(mktemp -d)
    mkdir -p "$out"
    tar -C "$site" -xJf "$packed"
    export PYTHONPATH=$PWD:$site/site HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
    # Install the project's metadata, so that spaCy finds its components.
    "$python" -m pip install --quiet --no-deps --no-build-isolation --no-index \
        --target "$site/site" --upgrade .
    set +e
    "$python" -m pytest -m gpu -p no:cacheprovider -o addopts= -ra -W ignore \
        --junitxml "$out/tests.xml" tests/gpu 2>&1 | tee "$out/log.txt"
    local failed=${PIPESTATUS[0]}
    "$python" benchmarks/gpu.py --output "$out/gpu.json" 2>&1 | tee -a "$out/log.txt"
    exit $((failed | PIPESTATUS[0]))
}

case "${1:-}" in
    pack) pack "${@:2}" ;;
    run) run "${2:?name a folder for the results}" ;;
    *) grep '^#' "$0" | tail -n +2 | cut -c3-; exit 2 ;;
esac
