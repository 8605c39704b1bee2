import MeshCore
import MeshModel

@testable import MeshDiscovery

/// Resources of types that only tests have, so that their bytes may be anything.
enum Plain {
    static let order = DiscoveryOrder([
        DiscoveryOrder.Kind("a", isReferenced: true, isComplete: true), DiscoveryOrder.Kind("b"),
        DiscoveryOrder.Kind("c"),
    ])

    /// `a/x=1` is the resource `x` of type `a` with the bytes `1`.
    static func scope(_ texts: String...) -> DiscoveryScope { scope(texts) }

    static func scope(_ texts: [String]) -> DiscoveryScope {
        DiscoveryScope(
            texts.map { text in
                let parts = text.split(whereSeparator: { $0 == "/" || $0 == "=" }).map(String.init)
                return EncodedResource(typeURL: parts[0], name: parts[1], bytes: Array(parts[2].utf8))
            })
    }

    static func version(_ text: String) -> ResourceVersion { ResourceVersion(of: Array(text.utf8)) }
}

extension DiscoveryDeltaDiscoveryRequest {
    static func ask(
        _ type: String, _ names: [String] = [], without: [String] = [], has: [String: String] = [:],
        nonce: String = "", error: String? = nil
    ) -> Self {
        var request = Self()
        request.typeURL = type
        request.resourceNamesSubscribe = names
        request.resourceNamesUnsubscribe = without
        request.initialResourceVersions = has
        request.responseNonce = nonce
        if let error {
            request.errorDetail.code = 3
            request.errorDetail.message = error
        }
        return request
    }
}

extension DiscoveryDeltaDiscoveryResponse {
    /// `a +x=1 -y`.
    var text: String {
        let added = resources.map { "+\($0.name)=\(String(decoding: $0.resource.value, as: UTF8.self))" }
        return ([typeURL] + added + removedResources.map { "-\($0)" }).joined(separator: " ")
    }
}

extension DiscoveryDiscoveryResponse {
    /// `a 1 2`: the bytes.
    var text: String {
        ([typeURL] + resources.map { String(decoding: $0.value, as: UTF8.self) }).joined(separator: " ")
    }
}

extension DiscoverySession {
    /// Everything that can be sent now.
    mutating func drain() -> [DiscoveryDeltaDiscoveryResponse] {
        var result: [DiscoveryDeltaDiscoveryResponse] = []
        while let response = next() { result.append(response) }
        return result
    }

    /// Sends and acknowledges until there is nothing more; what was sent.
    mutating func settle() throws -> [String] {
        var texts: [String] = []
        while let response = next() {
            texts.append(response.text)
            _ = try receive(.ask(response.typeURL, nonce: response.nonce))
        }
        return texts
    }
}
