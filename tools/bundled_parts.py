# SPDX-License-Identifier: BSD-2-Clause
"""Adds the licences and a bill of materials of the libraries in the extension to a wheel.

deps/libssh2/build describes these libraries in files named parts/NAME/about.
"""

import json
import os
import shutil
from glob import glob

#: Where a wheel has its licences (PEP 639) and its bills of materials (PEP 770).
LICENSES = "licenses"
SBOM = os.path.join("sboms", "sshgateway.cdx.json")


def add_parts(parts: str, dist_info: str, version: str) -> None:
    """Describe the libraries of the directory *parts* in a wheel's .dist-info directory."""
    abouts = sorted(glob(os.path.join(parts, "*", "about")))
    if not abouts:
        return
    names = [name for about in abouts for name in _add_licenses(about, dist_info)]
    _declare_licenses(os.path.join(dist_info, "METADATA"), names)
    sbom = os.path.join(dist_info, SBOM)
    os.makedirs(os.path.dirname(sbom), exist_ok=True)
    with open(sbom, "w") as file:
        json.dump(_bill([_component(about) for about in abouts], version), file, indent=2)
        file.write("\n")


def _add_licenses(about: str, dist_info: str) -> list[str]:
    """Copy the files beside *about*, and return their names below the licences."""
    part = os.path.dirname(about)
    names = []
    for path in sorted(set(glob(os.path.join(part, "*"))) - {about}):
        name = os.path.join(os.path.basename(part), os.path.basename(path))
        target = os.path.join(dist_info, LICENSES, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        names.append(name)
    return names


def _declare_licenses(metadata: str, names: list[str]) -> None:
    """Add a header License-File for each name."""
    with open(metadata, encoding="utf-8") as file:
        headers, separator, body = file.read().partition("\n\n")
    headers += "".join(f"\nLicense-File: {name}" for name in names)
    with open(metadata, "w", encoding="utf-8") as file:
        file.write(headers + separator + body)


def _component(about: str) -> dict[str, object]:
    with open(about) as file:
        facts = dict(line.rstrip("\n").split(": ", 1) for line in file)
    purl = (
        f"pkg:generic/{facts['name'].lower()}@{facts['version']}"
        f"?download_url={facts['url']}&checksum=sha256:{facts['sha256']}"
    )
    return {
        "type": "library",
        "bom-ref": purl,
        "name": facts["name"],
        "version": facts["version"],
        "licenses": [{"license": {"id": facts["license"]}}],
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": facts["sha256"]}],
        "properties": [
            {"name": "sshgateway:patch", "value": name} for name in facts["patches"].split()
        ],
    }


def _bill(components: list[dict[str, object]], version: str) -> dict[str, object]:
    """A software bill of materials in CycloneDX 1.6."""
    purl = f"pkg:pypi/sshgateway@{version}"
    refs = [component["bom-ref"] for component in components]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": purl,
                "name": "sshgateway",
                "version": version,
                "purl": purl,
                "licenses": [{"license": {"id": "BSD-2-Clause"}}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": purl, "dependsOn": refs},
            *({"ref": ref, "dependsOn": []} for ref in refs),
        ],
    }
