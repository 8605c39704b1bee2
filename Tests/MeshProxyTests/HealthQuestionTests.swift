import MeshCore
import MeshHTTP
import Testing

@testable import MeshProxy

@Suite struct HealthQuestionTests {
    private func frame(_ message: [UInt8]) -> [UInt8] { [0, 0, 0, 0, UInt8(message.count)] + message }

    @Test func theRequestNamesItsService() {
        #expect(HealthQuestion(grpcService: "", host: "a").grpcBody == [0, 0, 0, 0, 0])
        #expect(HealthQuestion(grpcService: "a.B", host: "a").grpcBody == [0, 0, 0, 0, 5, 10, 3, 0x61, 0x2E, 0x42])
        let long = HealthQuestion(grpcService: String(repeating: "s", count: 300), host: "a").grpcBody
        #expect(long?.prefix(8) == [0, 0, 0, 1, 0x2F, 10, 0xAC, 2])
    }

    @Test func statusesOfServing() {
        #expect(HealthQuestion.serving(frame([8, 1])) == 1)
        #expect(HealthQuestion.serving(frame([8, 2])) == 2)
        #expect(HealthQuestion.serving(frame([])) == 0)
        // Fields that a later version may add are passed over.
        #expect(HealthQuestion.serving(frame([18, 2, 9, 9, 8, 1, 29, 1, 2, 3, 4, 33, 1, 2, 3, 4, 5, 6, 7, 8])) == 1)
    }

    @Test func whatIsNoMessageIsNoAnswer() {
        let bodies: [[UInt8]] = [
            [], [0, 0, 0, 0], [1, 0, 0, 0, 2, 8, 1], [0, 0, 0, 0, 3, 8, 1], [0, 0, 0, 0, 1, 8, 1], frame([8]),
            frame([8, 0x80]), frame([18, 5, 1]), frame([29, 1]), frame([11]),
            frame([8] + Array(repeating: 0xFF, count: 11)),
            frame([18, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
        ]
        for body in bodies { #expect(HealthQuestion.serving(body) == nil, "\(body)") }
        // Nothing that arrives traps.
        var random = Random(seed: 1)
        for _ in 0..<20_000 {
            let message = (0..<Int(random.next() % 12)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            _ = HealthQuestion.serving(frame(message))
        }
    }

    @Test func answersAreJudgedByTheirStatus() {
        let question = HealthQuestion(path: "/h", host: "a", statuses: [204...204, 300...399])
        let head = MessageHead()
        let judged = [200, 204, 302, 404, 503].map { status in
            head.status = status
            return question.judge(head, body: [], trailers: nil).isWell
        }
        #expect(judged == [false, true, true, false, false])
        head.status = 200
        #expect(HealthQuestion(path: "/h", host: "a", statuses: []).judge(head, body: [], trailers: nil).isWell)
    }

    @Test func grpcErrorsCountWhereverTheyStand() {
        let question = HealthQuestion(grpcService: "", host: "a")
        let head = MessageHead()
        head.status = 200
        let trailers = MessageHead()
        trailers.append(.grpcStatus, value: ("12" as StaticString).bytes)
        #expect(question.judge(head, body: frame([8, 1]), trailers: nil).isWell)
        #expect(question.judge(head, body: frame([8, 1]), trailers: trailers).detail == "grpc-status 12")
        #expect(question.judge(trailers, body: [], trailers: nil).detail == "status 0")
        trailers.status = 200
        #expect(question.judge(trailers, body: [], trailers: nil).detail == "grpc-status 12")
    }

    @Test func theRequestIsRecognisable() {
        let head = MessageHead()
        HealthQuestion(path: "/h", host: "shop.example", statuses: []).write(head, isHTTP2: false)
        #expect(text(head, head.pathRange) == "/h")
        #expect(text(head, head.authorityRange) == "shop.example")
        let agent = head.firstIndex(of: .userAgent).map { text(head, head[$0].valueRange) }
        #expect(agent == "martlet-health")
    }

    private func text(_ head: MessageHead, _ range: ByteRange) -> String {
        let bytes = head.span(range)
        return String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }
}
