package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The list of contents is an SPDX document, version 2.3, in JSON. Field names and
// required fields: https://spdx.github.io/spdx-spec/v2.3/; identifiers of packages
// (purl): https://github.com/package-url/purl-spec.

type spdxDocument struct {
	Version       string             `json:"spdxVersion"`
	License       string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      spdxCreation       `json:"creationInfo"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID        string         `json:"SPDXID"`
	Name      string         `json:"name"`
	Version   string         `json:"versionInfo,omitempty"`
	Purpose   string         `json:"primaryPackagePurpose,omitempty"`
	Location  string         `json:"downloadLocation"`
	Analyzed  bool           `json:"filesAnalyzed"`
	Checksums []spdxChecksum `json:"checksums,omitempty"`
	Source    string         `json:"sourceInfo,omitempty"`
	Concluded string         `json:"licenseConcluded"`
	Declared  string         `json:"licenseDeclared"`
	Copyright string         `json:"copyrightText"`
	Refs      []spdxRef      `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// noAssertion is SPDX's word for what is not said.
const noAssertion = "NOASSERTION"

// document is the id of the document itself.
const document = "SPDXRef-DOCUMENT"

// spdxPackageOf makes a package; digest is "sha256:..." or "".
func spdxPackageOf(id, name, version, purpose, digest, purl string) spdxPackage {
	p := spdxPackage{ID: id, Name: name, Version: version, Purpose: purpose, Location: noAssertion,
		Concluded: noAssertion, Declared: noAssertion, Copyright: noAssertion}
	if hex, ok := strings.CutPrefix(digest, "sha256:"); ok {
		p.Checksums = []spdxChecksum{{"SHA256", hex}}
	}
	if purl != "" {
		p.Refs = []spdxRef{{"PACKAGE-MANAGER", "purl", purl}}
	}
	return p
}

// contentsOf lists what a configuration names. What is the same in two images stands
// there once for each.
func contentsOf(c *Config) *spdxDocument {
	d := &spdxDocument{Version: "SPDX-2.3", License: "CC0-1.0", ID: document,
		Name:     c.Chart.Name + "-" + c.Chart.Version,
		Creation: spdxCreation{c.Created.Format(time.RFC3339), []string{"Tool: " + strings.ReplaceAll(c.Creator, " ", "-")}}}
	const chartID = "SPDXRef-chart"
	d.add(document, "DESCRIBES", spdxPackageOf(chartID, c.Chart.Name, c.Chart.Version, "APPLICATION", c.Chart.Digest,
		purl("helm", c.Chart.Name, c.Chart.Version)))
	for n, dep := range c.Chart.Dependencies {
		p := spdxPackageOf(fmt.Sprintf("SPDXRef-dependency-%d", n+1), dep.Name, dep.Version, "APPLICATION", "", purl("helm", dep.Name, dep.Version))
		if strings.Contains(dep.Repository, "://") && !strings.HasPrefix(dep.Repository, "file:") {
			p.Location = dep.Repository
		}
		d.add(chartID, "DEPENDS_ON", p)
	}
	for n, i := range c.Images {
		id := fmt.Sprintf("SPDXRef-image-%d", n+1)
		repository, version := splitImage(i.Name)
		base := repository[strings.LastIndexByte(repository, '/')+1:]
		p := spdxPackageOf(id, repository, version, "CONTAINER", i.Digest,
			purl("oci", base, i.Digest, "repository_url", repository, "tag", version))
		p.Source = i.Origin
		d.add(chartID, "DEPENDS_ON", p)
		for m, installed := range i.Packages {
			namespace := ""
			if installed.Distribution != "" {
				namespace = installed.Distribution + "/"
			}
			d.add(id, "CONTAINS", spdxPackageOf(fmt.Sprintf("%s-package-%d", id, m+1), installed.Name, installed.Version, "", "",
				purl(installed.Manager+"/"+strings.TrimSuffix(namespace, "/"), installed.Name, installed.Version,
					"arch", installed.Architecture, "distro", installed.Release)))
		}
	}
	if c.Runtime != nil {
		for _, p := range c.Runtime.Programs {
			d.add(document, "DESCRIBES", spdxPackageOf("SPDXRef-program-"+p.Name, p.Name, c.Runtime.Version, "APPLICATION", "sha256:"+p.SHA256,
				purl("generic", p.Name, c.Runtime.Version)))
		}
	}
	// A namespace must be the document's own: it follows from what is in it.
	sum := sha256.New()
	fmt.Fprint(sum, d.Creation, d.Packages, d.Relationships)
	d.Namespace = "https://pkg.internal/spdx/" + url.PathEscape(d.Name) + "-" + hex.EncodeToString(sum.Sum(nil))
	return d
}

// add lists a package and how another one relates to it.
func (d *spdxDocument) add(from, relation string, p spdxPackage) {
	d.Packages = append(d.Packages, p)
	d.Relationships = append(d.Relationships, spdxRelationship{from, relation, p.ID})
}

// splitImage parts the full name of an image from its tag or digest.
func splitImage(name string) (repository, version string) {
	if repository, digest, ok := strings.Cut(name, "@"); ok {
		return repository, digest
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// purl is a package's identifier; qualifiers are names and values, sorted by name,
// of which empty ones are left out.
func purl(kind, name, version string, qualifiers ...string) string {
	out := "pkg:" + strings.TrimSuffix(kind, "/") + "/" + url.PathEscape(name)
	if version != "" {
		out += "@" + strings.ReplaceAll(url.QueryEscape(version), "%3A", ":")
	}
	between := "?"
	for n := 0; n+1 < len(qualifiers); n += 2 {
		if qualifiers[n+1] != "" {
			out += between + qualifiers[n] + "=" + url.QueryEscape(qualifiers[n+1])
			between = "&"
		}
	}
	return out
}
