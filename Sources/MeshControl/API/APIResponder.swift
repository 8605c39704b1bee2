import Foundation
internal import Hummingbird
import Logging
internal import NIOCore
internal import NIOSSL
internal import X509

/// What is known of a request before it is looked at: the connection it came over.
struct APIRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}

/// Answers requests: finds the operation, lets the caller in or not, reads the body, and makes a response of the
/// outcome.
struct APIResponder: HTTPResponder {
    typealias Context = APIRequestContext

    let operations: any ControlOperations
    let authentication: Authentication
    let counters: APICounters
    let maxBodyBytes: Int
    let isRevoked: @Sendable (String) async -> Bool

    /// A response that is decided on before the operation begins.
    private struct Refusal: Error {
        var document: API.ProblemDocument
        var headers: HTTPFields = [:]
    }

    func respond(to request: Request, context: APIRequestContext) async throws -> Response {
        var endpoint: Endpoint?
        let response: Response
        do {
            let (found, parameters) = try find(request)
            endpoint = found
            let caller = try await admit(found, request, context)
            let call = Call(
                operations: operations, counters: counters, parameters: parameters,
                query: try Self.query(request, found), body: try await body(found, request), caller: caller)
            response = Self.response(try await found.handle(call))
        } catch let refusal as Refusal {
            response = Self.response(refusal.document, refusal.headers)
        } catch let problem as API.Problem {
            response = Self.response(Self.document(problem))
        } catch is CancellationError {
            response = Self.response(
                Self.document(API.Problem(.unavailable, "the control plane is ending", remedy: "ask again later")))
        } catch {
            context.logger.error(
                "a request to the API failed",
                metadata: ["operation": "\(endpoint?.operation ?? "none")", "error": "\(error)"])
            response = Self.response(
                API.ProblemDocument(
                    type: "internal", title: "Internal error", status: 500,
                    detail: "the control plane failed at this request", remedy: "its log says why"))
        }
        counters.answered(endpoint?.operation ?? "none", status: Int(response.status.code))
        return request.method == .head ? response.createHeadResponse() : response
    }

    // MARK: Which operation

    private func find(_ request: Request) throws -> (Endpoint, [String: String]) {
        let raw = Endpoint.segments(request.uri.path)
        let segments = raw.compactMap(\.removingPercentEncoding)
        guard segments.count == raw.count, segments.allSatisfy({ !$0.contains("/") && !$0.contains("\0") }) else {
            throw API.Problem(.invalid, "the path of the URL is not well encoded")
        }
        let method = request.method == .head ? .get : request.method
        var others: [String] = []
        for endpoint in Endpoint.all {
            guard let parameters = endpoint.parameters(segments) else { continue }
            if endpoint.method == method { return (endpoint, parameters) }
            others.append(endpoint.method.rawValue)
        }
        guard others.isEmpty else {
            let allowed = others.joined(separator: ", ")
            throw Refusal(
                document: API.ProblemDocument(
                    type: "method-not-allowed", title: "Method not allowed", status: 405,
                    detail: "\(request.method.rawValue) is not for this path", remedy: "use \(allowed)"),
                headers: [.allow: allowed])
        }
        throw API.Problem(.notFound, "there is nothing at this path", remedy: "/openapi.json says what there is")
    }

    /// The query's parameters, of which all must be known.
    private static func query(_ request: Request, _ endpoint: Endpoint) throws -> [String: String] {
        var result: [String: String] = [:]
        for part in (request.uri.query ?? "").split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            func decoded(_ text: Substring) -> String? {
                text.replacingOccurrences(of: "+", with: " ").removingPercentEncoding
            }
            guard let name = decoded(pair[0]), let value = pair.count == 2 ? decoded(pair[1]) : "" else {
                throw API.Problem(.invalid, "the query of the URL is not well encoded")
            }
            guard endpoint.query.contains(where: { $0.name == name }) else {
                let known = endpoint.query.map(\.name).joined(separator: ", ")
                throw API.Problem(
                    .invalid, "unknown parameter \"\(name.prefix(100))\" in the query",
                    remedy: known.isEmpty ? "there are none here" : "there are \(known)")
            }
            result[name] = value
        }
        return result
    }

    // MARK: Who asks

    /// Who the caller is; throws if they may not.
    private func admit(_ endpoint: Endpoint, _ request: Request, _ context: APIRequestContext) async throws -> String {
        let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"]
        let evidence = Authentication.Evidence(
            address: context.channel.remoteAddress?.ipAddress ?? "", host: request.head.authority ?? "",
            authorization: request.headers[.authorization],
            isForwarded: request.headers.contains { forwarded.contains($0.name.canonicalName) },
            identity: try await identity(of: context.channel))
        switch authentication.verdict(endpoint.access, evidence) {
        case .caller(let caller): return caller
        case .unauthenticated(let detail):
            counters.refused("unauthenticated")
            throw Refusal(
                document: API.ProblemDocument(
                    type: "unauthenticated", title: "Not authenticated", status: 401, detail: detail,
                    remedy: "send Authorization: Bearer TOKEN; the token is in \(authentication.tokenPath)"),
                headers: [.wwwAuthenticate: "Bearer realm=\"martlet\""])
        case .forbidden(let detail):
            counters.refused("forbidden")
            throw Refusal(
                document: API.ProblemDocument(type: "forbidden", title: "Forbidden", status: 403, detail: detail))
        case .limited:
            counters.refused("limited")
            throw Refusal(
                document: API.ProblemDocument(
                    type: "too-many-attempts", title: "Too many attempts", status: 429,
                    detail: "too many wrong tokens came from this address", remedy: "wait a second"),
                headers: [.retryAfter: "1"])
        }
    }

    /// The SPIFFE id of the client's certificate, which the handshake has verified; nil if there is none.
    private func identity(of channel: any Channel) async throws -> String? {
        guard let shown = try? await channel.nioSSL_peerCertificate().get() else { return nil }
        let certificate = try Certificate(derEncoded: try shown.toDERBytes())
        let serial = certificate.serialNumber.bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
        guard await !isRevoked(serial) else { return nil }
        for name in try certificate.extensions.subjectAlternativeNames ?? SubjectAlternativeNames([]) {
            if case .uniformResourceIdentifier(let uri) = name, uri.hasPrefix("spiffe://") { return uri }
        }
        return nil
    }

    // MARK: What was sent

    private func body(_ endpoint: Endpoint, _ request: Request) async throws -> [UInt8] {
        guard endpoint.body != nil else { return [] }
        let type = request.headers[.contentType]?.prefix { $0 != ";" }.lowercased() ?? ""
        guard type.trimmingCharacters(in: .whitespaces) == "application/json" else {
            throw Refusal(
                document: API.ProblemDocument(
                    type: "unsupported-media-type", title: "Unsupported media type", status: 415,
                    detail: "the body must be JSON", remedy: "send Content-Type: application/json"))
        }
        do {
            let buffer = try await request.body.collect(upTo: maxBodyBytes)
            return Array(buffer: buffer)
        } catch is NIOTooManyBytesError {
            throw Refusal(
                document: API.ProblemDocument(
                    type: "content-too-large", title: "Content too large", status: 413,
                    detail: "the body is longer than \(maxBodyBytes) bytes",
                    remedy: "apply the files in several parts"),
                headers: [.connection: "close"])
        }
    }

    // MARK: Responses

    private static func response(_ reply: Reply) -> Response {
        var headers: HTTPFields = [.cacheControl: "no-store", .xContentTypeOptions: "nosniff"]
        if !reply.type.isEmpty { headers[.contentType] = reply.type }
        let body = reply.bytes.isEmpty ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: reply.bytes))
        return Response(status: reply.status, headers: headers, body: body)
    }

    private static func response(_ document: API.ProblemDocument, _ more: HTTPFields = [:]) -> Response {
        var document = document
        if !document.type.contains(":") { document.type = "urn:martlet:problem:\(document.type)" }
        let bytes = (try? API.encoder().encode(document)).map { Array($0) } ?? []
        var response = response(
            Reply(
                status: HTTPResponse.Status(code: document.status), type: "application/problem+json", bytes: bytes))
        response.headers.append(contentsOf: more)
        return response
    }

    private static func document(_ problem: API.Problem) -> API.ProblemDocument {
        let (type, title, status) =
            switch problem.kind {
            case .invalid: ("invalid-request", "Invalid request", 400)
            case .notFound: ("not-found", "Not found", 404)
            case .conflict: ("conflict", "Conflict", 409)
            case .rejected: ("rejected", "The documents are not valid", 422)
            case .unavailable: ("unavailable", "Not now", 503)
            }
        return API.ProblemDocument(
            type: type, title: title, status: status, detail: problem.message, remedy: problem.remedy,
            diagnostics: problem.diagnostics.isEmpty ? nil : problem.diagnostics)
    }
}
