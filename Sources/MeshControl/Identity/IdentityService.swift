internal import GRPCCore
import Logging
import MeshCore
internal import MeshDiscovery
internal import X509

/// Gives proxies their certificates. ``PeerCheck`` stands before `Sign`.
struct IdentityService: ControlIdentity.SimpleServiceProtocol {
    let authority: Authority
    let logger: Logger

    func join(request: ControlJoinRequest, context: ServerContext) async throws -> ControlSignResponse {
        let address = JoinLimiter.address(context.remotePeer)
        do throws(IdentityRefusal) {
            let issued = try await authority.join(
                token: request.token, role: request.role, instance: request.instance, csr: [UInt8](request.csr),
                from: address)
            logger.info("\(request.role) \(request.instance) joined from \(address)")
            return Self.response(issued)
        } catch {
            // Neither the token nor what else the request says: anybody can send it.
            logger.warning("a join from \(address) was refused (\(error.result.rawValue)): \(error.message)")
            throw RPCError(code: Self.code(error.result, isJoin: true), message: error.message)
        }
    }

    func sign(request: ControlSignRequest, context: ServerContext) async throws -> ControlSignResponse {
        guard let peer = context.peer else {
            throw RPCError(code: .unauthenticated, message: "no client certificate: join with a token first")
        }
        do throws(IdentityRefusal) {
            return Self.response(try await authority.sign(peer, csr: [UInt8](request.csr)))
        } catch {
            logger.warning("\(peer.spiffe.name) \(peer.instance) gets no certificate: \(error.message)")
            throw RPCError(code: Self.code(error.result, isJoin: false), message: error.message)
        }
    }

    private static func response(_ issued: IssuedCertificate) -> ControlSignResponse {
        var response = ControlSignResponse()
        response.chain = issued.chain
        response.bundle = issued.bundle
        response.notBefore = Int64(issued.leaf.notValidBefore.timeIntervalSince1970)
        response.notAfter = Int64(issued.leaf.notValidAfter.timeIntervalSince1970)
        return response
    }

    private static func code(_ result: IdentityResult, isJoin: Bool) -> RPCError.Code {
        switch result {
        case .issued, .failed: .unavailable
        case .malformed: .invalidArgument
        case .unknown, .used, .expired, .role: .unauthenticated
        case .revoked: isJoin ? .unauthenticated : .permissionDenied
        case .absent: .failedPrecondition
        case .limited: .resourceExhausted
        }
    }
}
