import ArgumentParser
import MeshControl

struct Proxies: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the proxies of the mesh, or one with everything it runs.",
        discussion: """
            Examples:
              martlet proxies
              martlet proxies cart-1
              martlet proxies workload:shop/cart/cart-1 --output json
            """)

    @Argument(help: ArgumentHelp("One of them: INSTANCE, or ROLE/INSTANCE.", valueName: "proxy"))
    var proxy: String?

    @OptionGroup var watch: WatchOptions
    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let client = try control.client()
        try watch.show { try proxy.map { try one($0, client) } ?? all(client) }
    }

    private func all(_ client: ControlClient) throws -> String {
        let proxies: [API.Proxy] = try client.get("/v1/proxies")
        switch output.output {
        case .json: return try ControlText.json(proxies)
        case .text: return table(proxies)
        }
    }

    private func one(_ name: String, _ client: ControlClient) throws -> String {
        let detail: API.ProxyDetail = try client.get(ProxyName.path(try ProxyName.find(name, client)))
        switch output.output {
        case .json: return try ControlText.json(detail)
        case .text:
            let rows = detail.resources.map { resource in
                [
                    resource.type, resource.name, String((resource.desiredVersion ?? "").prefix(12)),
                    String((resource.ackedVersion ?? "").prefix(12)), resource.rejection?.message ?? "",
                ]
            }
            return table([detail.proxy]) + "\n\n"
                + ControlText.table(
                    ["RESOURCE", "NAME", "DESIRED", "RUNS", "REFUSAL"], rows, empty: "it needs no resources")
        }
    }

    private func table(_ proxies: [API.Proxy]) -> String {
        let rows = proxies.map { proxy in
            [
                proxy.id.role, proxy.id.instance, proxy.address, proxy.zone, proxy.sync.rawValue, proxy.readiness,
                (proxy.connectedSince ?? proxy.lastSeen).map { ControlText.age($0) } ?? "",
                proxy.certificateExpires.map { ControlText.age($0) } ?? "", proxy.programVersion,
                proxy.warnings.joined(separator: "; "),
            ]
        }
        return ControlText.table(
            ["ROLE", "INSTANCE", "ADDRESS", "ZONE", "SYNC", "STATE", "SINCE", "CERTIFICATE", "VERSION", "WARNINGS"],
            rows, empty: "no proxy has joined yet: martlet token create makes a token for one")
    }
}

/// A proxy as people name it.
enum ProxyName {
    /// The proxy called `ROLE/INSTANCE` or, if only one is called that, `INSTANCE`.
    static func find(_ name: String, _ client: ControlClient) throws -> API.ProxyID {
        let proxies: [API.Proxy] = try client.get("/v1/proxies")
        let found = proxies.map(\.id).filter { $0.text == name || $0.instance == name }
        if found.count == 1 { return found[0] }
        guard found.isEmpty else {
            let names = found.map(\.text).joined(separator: ", ")
            throw Failure(message: "several proxies are called \(name): write one of \(names)", code: 1)
        }
        throw Failure(message: "there is no proxy \(name): martlet proxies lists them", code: 1)
    }

    /// Where the API has it.
    static func path(_ id: API.ProxyID) -> String {
        "/v1/proxies" + ControlClient.path(id.kind.rawValue, id.namespace, id.name, id.instance)
    }
}
