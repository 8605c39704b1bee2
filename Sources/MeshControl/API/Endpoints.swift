internal import Hummingbird

extension Endpoint {
    /// Every operation there is.
    static let all: [Endpoint] = objects + revisions + running + tokens + identity + process

    private static let filter = [
        Query(name: "kind", type: "string", text: "Only objects of this kind, in whatever letter case."),
        Query(name: "namespace", type: "string", text: "Only objects of this namespace."),
        Query(name: "name", type: "string", text: "Only objects of this name."),
    ]

    private static let change = [
        Query(name: "dryRun", type: "boolean", text: "Only say what would be done."),
        Query(name: "message", type: "string", text: "Why, for people."),
    ]

    // MARK: Objects

    private static let objects = [
        Endpoint(
            method: .get, path: "/v1/objects", operation: "listObjects", summary: "The objects, without their text.",
            access: .read, query: filter, answer: .json(schema: "Object", isList: true)
        ) { call in
            try .json(try await call.operations.objects(call.filter))
        },
        Endpoint(
            method: .get, path: "/v1/objects/{kind}/{namespace}/{name}", operation: "getObject",
            summary: "One object with its text.", access: .read, answer: .json(schema: "Object", isList: false),
            problems: [.notFound]
        ) { call in
            try .json(try await call.operations.object(call.objectID))
        },
        Endpoint(
            method: .delete, path: "/v1/objects/{kind}/{namespace}/{name}", operation: "deleteObject",
            summary: "Removes one object.", access: .change, query: change,
            answer: .json(schema: "ChangeResult", isList: false),
            problems: [.notFound, .conflict, .unprocessableContent]
        ) { call in
            let deletion = API.Deletion(
                objects: [call.objectID], dryRun: try call.flag("dryRun"), author: call.caller,
                message: call.query["message"] ?? "")
            return try accepted(try await call.operations.delete(deletion))
        },
        Endpoint(
            method: .post, path: "/v1/apply", operation: "apply",
            summary: "Adds objects, or replaces those of the same name, as one revision.", access: .change,
            body: "Change", answer: .json(schema: "ChangeResult", isList: false),
            problems: [.conflict, .unprocessableContent]
        ) { call in
            var change = try call.body(as: API.Change.self)
            guard !change.files.isEmpty else { throw API.Problem(.invalid, "there are no files in the body") }
            change.author = call.author(change.author)
            return try accepted(try await call.operations.apply(change))
        },
        Endpoint(
            method: .post, path: "/v1/delete", operation: "delete", summary: "Removes objects as one revision.",
            access: .change, body: "Deletion", answer: .json(schema: "ChangeResult", isList: false),
            problems: [.notFound, .conflict, .unprocessableContent]
        ) { call in
            var deletion = try call.body(as: API.Deletion.self)
            guard !deletion.objects.isEmpty else { throw API.Problem(.invalid, "there are no objects in the body") }
            deletion.author = call.author(deletion.author)
            return try accepted(try await call.operations.delete(deletion))
        },
        Endpoint(
            method: .post, path: "/v1/diff", operation: "diff",
            summary: "What applying these files would do to objects and to every proxy. Changes nothing.",
            access: .read, body: "DiffRequest", answer: .json(schema: "Diff", isList: false)
        ) { call in
            try .json(try await call.operations.diff(try call.body(as: DiffRequest.self).files))
        },
    ]

    /// A result as a response: what is not accepted is a problem.
    private static func accepted(_ result: API.ChangeResult) throws -> Reply {
        guard result.isAccepted else {
            let errors = result.diagnostics.count { $0.severity == .error }
            throw API.Problem(
                .rejected, "nothing was changed: the configuration would have \(errors) error\(errors == 1 ? "" : "s")",
                remedy: "see diagnostics", diagnostics: result.diagnostics)
        }
        return try .json(result)
    }

    // MARK: Revisions

    private static let revisions = [
        Endpoint(
            method: .get, path: "/v1/revisions", operation: "listRevisions",
            summary: "The newest revisions, newest first.",
            access: .read,
            query: [Query(name: "limit", type: "integer", text: "How many at most, from 1 to 1000; 20 if not said.")],
            answer: .json(schema: "Revision", isList: true)
        ) { call in
            try .json(try await call.operations.revisions(limit: try call.number("limit", in: 1...1000) ?? 20))
        },
        Endpoint(
            method: .post, path: "/v1/rollback", operation: "rollback",
            summary: "Makes the objects what they were at a revision, as a new revision.", access: .change,
            body: "Rollback", answer: .json(schema: "ChangeResult", isList: false),
            problems: [.notFound, .conflict, .unprocessableContent]
        ) { call in
            var request = try call.body(as: API.Rollback.self)
            request.author = call.author(request.author)
            return try accepted(try await call.operations.rollback(request))
        },
    ]

    // MARK: What runs

    private static let running = [
        Endpoint(
            method: .get, path: "/v1/status", operation: "listStatus",
            summary: "How objects are, and how far they have come with the proxies that need them.", access: .read,
            query: filter, answer: .json(schema: "ObjectStatus", isList: true)
        ) { call in
            try .json(try await call.operations.status(call.filter))
        },
        Endpoint(
            method: .get, path: "/v1/proxies", operation: "listProxies", summary: "The instances.", access: .read,
            answer: .json(schema: "Proxy", isList: true)
        ) { call in
            try .json(try await call.operations.proxies())
        },
        Endpoint(
            method: .get, path: "/v1/proxies/{kind}/{namespace}/{name}/{instance}", operation: "getProxy",
            summary: "One instance with its resources.", access: .read,
            answer: .json(schema: "ProxyDetail", isList: false), problems: [.notFound]
        ) { call in
            try .json(try await call.operations.proxy(try call.proxyID()))
        },
        Endpoint(
            method: .get, path: "/v1/proxies/{kind}/{namespace}/{name}/{instance}/model", operation: "getProxyModel",
            summary: "The model that one instance should run, without secrets.", access: .read,
            answer: .json(schema: "CompiledModel", isList: false), problems: [.notFound]
        ) { call in
            try .json(try await call.operations.compiledModel(try call.proxyID()))
        },
        Endpoint(
            method: .get, path: "/v1/traffic", operation: "getTraffic", summary: "What passed between services.",
            access: .read,
            query: [
                Query(
                    name: "seconds", type: "integer",
                    text: "In the last so many seconds, from 1 to 86400; all that is known if not said.")
            ],
            answer: .json(schema: "Traffic", isList: false)
        ) { call in
            try .json(try await call.operations.traffic(seconds: try call.number("seconds", in: 1...86_400)))
        },
    ]

    // MARK: Tokens

    private static let tokens = [
        Endpoint(
            method: .get, path: "/v1/tokens", operation: "listTokens", summary: "The tokens, without their secrets.",
            access: .read, answer: .json(schema: "Token", isList: true)
        ) { call in
            try .json(try await call.operations.tokens())
        },
        Endpoint(
            method: .post, path: "/v1/tokens", operation: "createToken",
            summary: "Makes a token with which instances of a workload or gateway join the mesh.", access: .change,
            body: "TokenRequest", answer: .json(schema: "NewToken", isList: false), success: .created
        ) { call in
            var request = try call.body(as: API.TokenRequest.self)
            request.author = call.author(request.author)
            try check(request)
            return try .json(try await call.operations.createToken(request), status: .created)
        },
        Endpoint(
            method: .delete, path: "/v1/tokens/{id}", operation: "revokeToken", summary: "Makes a token useless.",
            access: .change, answer: .nothing, success: .noContent, problems: [.notFound]
        ) { call in
            try await call.operations.revokeToken(call.parameter("id"))
            return .nothing
        },
    ]

    private static func check(_ request: API.TokenRequest) throws {
        guard API.ProxyID(role: request.role, instance: "") != nil else {
            throw API.Problem(
                .invalid, "role \"\(request.role)\" is none",
                remedy: "write workload:NAMESPACE/NAME or gateway:NAMESPACE/NAME")
        }
        guard (1...31_536_000).contains(request.lifetimeSeconds) else {
            throw API.Problem(.invalid, "lifetimeSeconds must be from 1 to 31536000, which is a year")
        }
        guard (1...100_000).contains(request.uses) else {
            throw API.Problem(.invalid, "uses must be from 1 to 100000")
        }
    }

    // MARK: Identity

    private static let identity = [
        Endpoint(
            method: .get, path: "/v1/identity/bundle", operation: "getTrustBundle", summary: "Whom the mesh believes.",
            access: .read, answer: .json(schema: "TrustBundle", isList: false)
        ) { call in
            try .json(try await call.operations.trustBundle())
        },
        Endpoint(
            method: .get, path: "/v1/identity/rotation", operation: "getRootRotation",
            summary: "How far the replacement of the root is.", access: .read,
            answer: .json(schema: "RootRotation", isList: false)
        ) { call in
            try .json(try await call.operations.rootRotation())
        },
        Endpoint(
            method: .post, path: "/v1/identity/rotation", operation: "advanceRootRotation",
            summary: "Takes one step of the replacement of the root.", access: .change, body: "RotationRequest",
            answer: .json(schema: "RootRotation", isList: false), problems: [.conflict]
        ) { call in
            let step = try call.body(as: RotationRequest.self).step
            return try .json(try await call.operations.advanceRootRotation(step))
        },
        Endpoint(
            method: .post, path: "/v1/identity/revocations", operation: "revoke",
            summary: "Makes the certificates of an instance, or one certificate, useless.", access: .change,
            body: "Revocation", answer: .json(schema: "RevocationResult", isList: false), problems: [.notFound]
        ) { call in
            var request = try call.body(as: API.Revocation.self)
            guard (request.proxy == nil) != (request.serial == nil) else {
                throw API.Problem(.invalid, "the body must have one of proxy and serial")
            }
            request.author = call.author(request.author)
            return try .json(try await call.operations.revoke(request))
        },
    ]

    // MARK: The process

    private static let process = [
        Endpoint(
            method: .get, path: "/v1/health", operation: "getHealth", summary: "How the control plane is.",
            access: .read, answer: .json(schema: "Health", isList: false)
        ) { call in
            try .json(await call.operations.health())
        },
        Endpoint(
            method: .get, path: "/live", operation: "getLive", summary: "200 while the process answers at all.",
            access: .open, answer: .text("text/plain")
        ) { _ in
            .text("live\n")
        },
        Endpoint(
            method: .get, path: "/ready", operation: "getReady", summary: "200 if it can serve proxies, otherwise 503.",
            access: .open, answer: .text("text/plain"), problems: [.serviceUnavailable]
        ) { call in
            let health = await call.operations.health()
            guard !health.isReady else { return .text("ready\n") }
            let bad = health.checks.filter { !$0.isGood }.map(\.name).joined(separator: ", ")
            throw API.Problem(
                .unavailable, "not ready" + (bad.isEmpty ? "" : ": \(bad)"), remedy: "GET /v1/health says more")
        },
        Endpoint(
            method: .get, path: "/metrics", operation: "getMetrics", summary: "Prometheus text.", access: .read,
            answer: .text("text/plain")
        ) { call in
            let text = await call.operations.metrics() + call.counters.exposition()
            return .text(text, type: "text/plain; version=0.0.4; charset=utf-8")
        },
        Endpoint(
            method: .get, path: "/openapi.json", operation: "getDescription", summary: "This document.",
            access: .open, answer: .json(schema: "OpenAPI", isList: false)
        ) { _ in
            .text(OpenAPIDocument.json, type: "application/json")
        },
    ]
}
