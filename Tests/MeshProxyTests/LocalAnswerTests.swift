import Foundation
import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshProxy

@Suite struct LocalAnswerTests {
    private let pools = BufferPools()

    private func write(_ reason: Reason, for request: MessageHead) -> (head: MessageHead, body: [UInt8]) {
        let head = MessageHead()
        let pipe = BodyPipe(pools: pools)
        LocalAnswer.write(reason, for: request, into: head, body: pipe, pools: pools)
        return (head, taken(pipe))
    }

    private func taken(_ pipe: BodyPipe) -> [UInt8] {
        var body: [UInt8] = []
        while !pipe.isEmpty {
            let slice = pipe.takeFirst(upTo: .max)
            body += bytes(slice.span)
        }
        return body
    }

    @Test(arguments: Reason.allCases) func problemIsValidJSON(reason: Reason) throws {
        let (head, body) = write(reason, for: request())
        #expect(head.status == (reason.status == 0 ? 400 : reason.status))
        #expect(head.values("content-type") == ["application/problem+json"])
        #expect(head.values("content-length") == ["\(body.count)"])
        #expect(head.values("x-martlet-reason") == [reason.rawValue])
        #expect(head.bodyLength == .known(body.count))
        let problem = try #require(try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any])
        #expect(problem["type"] as? String == "about:blank")
        #expect(problem["status"] as? Int == head.status)
        #expect(problem["reason"] as? String == reason.rawValue)
        #expect(problem["detail"] as? String == reason.sentence)
        #expect(problem.count == 4)
    }

    /// There is a sentence that needs escaping, or the test above proves less than it says.
    @Test func aSentenceHasQuotes() { #expect(Reason.allCases.contains { $0.sentence.contains("\"") }) }

    @Test func headHasLengthAndNoBody() {
        let (full, body) = write(.routeNotFound, for: request())
        let (head, none) = write(.routeNotFound, for: request(method: "HEAD"))
        #expect(none.isEmpty)
        #expect(head.status == 404)
        #expect(head.bodyLength == .none)
        #expect(head.values("content-length") == full.values("content-length"))
        #expect(head.values("content-length") == ["\(body.count)"])
    }

    @Test(arguments: Reason.allCases) func grpcReadsItFromTheHead(reason: Reason) throws {
        let call = request(method: "POST", [("content-type", "application/grpc"), ("content-length", "0")])
        #expect(call.flags.contains(.grpc))
        let (head, body) = write(reason, for: call)
        #expect(body.isEmpty)
        #expect(head.status == 200)
        #expect(head.bodyLength == .none)
        #expect(head.values("content-type") == ["application/grpc"])
        #expect(head.values("content-length") == [])
        #expect(head.values("grpc-status") == ["\(reason.grpcStatus)"])
        #expect(head.values("x-martlet-reason") == [reason.rawValue])
        let message = try #require(head.values("grpc-message").first)
        #expect(message.utf8.allSatisfy { (0x20...0x7E).contains($0) })
        #expect(message.removingPercentEncoding == "\(reason.rawValue): \(reason.sentence)")
    }

    /// Bytes would be taken for the next response.
    @Test(arguments: [204, 205, 304]) func aFaultWithoutContentHasNone(status: Int) {
        let head = MessageHead()
        let pipe = BodyPipe(pools: pools)
        LocalAnswer.write(Fault.Abort.status(status), for: request(), into: head, body: pipe, pools: pools)
        #expect(head.status == status)
        #expect(head.bodyLength == .none)
        #expect(head.values("content-length") == [])
        #expect(head.values("content-type") == [])
        #expect(head.values("x-martlet-reason") == [Reason.faultInjected.rawValue])
        #expect(taken(pipe).isEmpty)
    }

    @Test func refusedConnectNamesWhatIsAllowed() {
        #expect(write(.connectRefused, for: request()).head.values("allow").count == 1)
        #expect(write(.routeNotFound, for: request()).head.values("allow") == [])
    }

    @Test func whatWasThereIsGone() {
        let head = response(500, [("x-old", "1")])
        let pipe = BodyPipe(pools: pools)
        pipe.append(Slice.copy(of: Array("old".utf8).span, in: pools.small))
        LocalAnswer.write(.routeNotFound, for: request(), into: head, body: pipe, pools: pools)
        #expect(head.values("x-old") == [])
        #expect(taken(pipe).first == UInt8(ascii: "{"))
    }

    /// Longer than one chunk of the pools.
    @Test func longAnswersAreWhole() {
        let content = Array(repeating: UInt8(ascii: "x"), count: 200_001)
        let head = MessageHead()
        let pipe = BodyPipe(pools: pools)
        let answer = AdminAnswer(json: String(decoding: content, as: UTF8.self))
        LocalAnswer.write(answer, for: request(), into: head, body: pipe, pools: pools)
        #expect(head.values("content-length") == ["200001"])
        #expect(taken(pipe) == content)
    }

    @Test func idempotentMethods() {
        for method: MeshHTTP.Method in [.get, .head, .put, .delete, .options, .trace] {
            #expect(method.isIdempotent, "\(method)")
        }
        for method: MeshHTTP.Method in [.post, .patch, .connect, .other] { #expect(!method.isIdempotent, "\(method)") }
    }
}
