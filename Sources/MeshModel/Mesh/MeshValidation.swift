/// The rules for what concerns the mesh.
extension ModelCheck {
    mutating func mesh(_ peer: MeshPeer, _ place: String) {
        expect(!peer.identities.isEmpty, "\(place): mesh: no identity is accepted, so that no endpoint can be used")
        for identity in peer.identities {
            expect(
                SPIFFEID(identity) != nil,
                "\(place): mesh: '\(identity)' is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/svc/SERVICE")
        }
    }

    mutating func access(_ rules: AccessRules, _ place: String) {
        for policy in rules.policies {
            let place = "\(place): access policy '\(policy.name)'"
            expect(!policy.name.isEmpty, "\(place): it has no name")
            for rule in policy.rules {
                for source in rule.from { self.source(source, place) }
                for operation in rule.to { self.operation(operation, place) }
            }
        }
    }

    private mutating func source(_ source: AccessSource, _ place: String) {
        for identity in source.identities {
            expect(isIdentityPattern(identity), "\(place): '\(identity)' is no identity, '*' or 'spiffe://…*'")
        }
        for namespace in source.namespaces {
            expect(SPIFFEID.isSegment(namespace), "\(place): '\(namespace)' is no namespace")
        }
        for range in source.cidrs {
            expect(NumericAddress.isRange(range), "\(place): '\(range)' is no address range, such as 10.0.0.0/8")
        }
    }

    private mutating func operation(_ operation: AccessOperation, _ place: String) {
        for host in operation.hosts {
            expect(!host.isEmpty && Hostname(host) != nil, "\(place): '\(host)' is no host")
        }
        for method in operation.methods { expect(isToken(method), "\(place): '\(method)' is no method") }
        for path in operation.paths {
            expect(
                path.utf8.first == UInt8(ascii: "/") && !path.dropLast().contains("*"),
                "\(place): '\(path)' is no path; it begins with '/', and '*' stands at its end only")
        }
        expect(!operation.ports.contains(0), "\(place): a port is 0")
    }

    /// A SPIFFE id of any form, or the beginning of one that is open behind its trust domain.
    private func isIdentityPattern(_ text: String) -> Bool {
        if text == "*" { return true }
        guard text.hasPrefix("spiffe://"), text.utf8.count <= 2048 else { return false }
        let rest = text.dropFirst(9)
        guard let slash = rest.firstIndex(of: "/"), SPIFFEID.isTrustDomain(String(rest[..<slash])) else { return false }
        let path = rest[slash...]
        return path.utf8.count > 1 && !path.dropLast().contains("*")
            && path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }
}
