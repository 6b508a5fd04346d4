# Sourced by the scripts here, from the checkout's root: a virtual environment of their own.

# Prints the name of a Python that runs, is 3.10 or newer and can make environments;
# plain python3 if it will do. That a name is there says little: a version manager's
# stand-in may exist for a Python that does not.
pick_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "$0: needs Python 3.10 or newer with venv and pip (on Debian: python3-venv)" >&2
    return 1
}

# make_venv FOLDER REQUIREMENT...: installs this checkout (with its source in place) and the
# requirements into FOLDER, anew whenever something that decides its content has changed.
make_venv() {
    folder=$1
    shift
    python=$(pick_python)
    stamp=$({
        "$python" -c 'import sys; print(sys.version, sys.prefix)'
        pwd
        echo "$@"
        cat setup.cfg pyproject.toml
    } | cksum)
    if [ -x "$folder/bin/python" ] && [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    echo "Setting up $folder, which happens once ..." >&2
    "$python" -m venv --clear "$folder"
    PIP_CACHE_DIR="$PWD/.cache/pip" "$folder/bin/python" -m pip install \
        --quiet --quiet --disable-pip-version-check "$@"
    echo "$stamp" >"$folder/stamp"
}
