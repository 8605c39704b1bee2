import Foundation
import MeshCore
import MeshHTTP
import MeshModel
import Testing

@testable import MeshTelemetry

@Suite struct AccessLogTests {
    private func object(_ line: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    /// A loop's names and a sample in which everything is known.
    private func full(_ head: MessageHead, _ response: MessageHead, _ tls: TLSFacts) -> (LoopMetrics, Sample) {
        let names = LoopMetrics()
        let full = Sample(
            slot: names.slot(listener: "default/edge/https", route: "default/cart", backend: "default/cart:80"),
            listener: names.listenerSlot("*:443"), version: .http2)
        full.record.reason = .upstreamReset
        full.record.grpcStatus = 14
        full.record.requestBytes = 7
        full.record.responseBytes = 12_345
        full.record.attempts = 2
        full.record.upstreamConnect = 1_234_567
        full.record.upstreamFirstByte = 9_000_400
        full.record.wasCutOff = true
        full.record.request = Link(head)
        full.record.response = Link(response)
        full.record.tls = Link(tls)
        full.record.client = bytes("192.0.2.7:51000")
        full.record.endpoint = bytes("10.0.0.3:8080")
        return (names, full)
    }

    private let head = requestHead(
        "POST", "shop.example", "/cart?a=1",
        [
            ("x-request-id", bytes("0123abcd")), ("user-agent", bytes("curl/8.0 \"x\"")),
            ("referer", bytes("https://a/?token=t")),
            ("traceparent", bytes("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
            ("X-Tenant", bytes("blue team")),
        ])
    private let response = requestHead("", "", "", [("content-type", bytes("text/html"))])
    private let tls = TLSFacts(
        version: .tls13, serverName: bytes("shop.example"), peer: bytes("spiffe://mesh.example/ns/default/sa/web"))

    @Test func jsonSaysEverythingInThisOrder() throws {
        let (names, sample) = full(head, response, tls)
        #expect(
            try line(.json, sample, names: names) == #"""
                {"time":"2026-11-24T05:41:57.123Z","listener":"default/edge/https","route":"default/cart","backend":"default/cart:80","endpoint":"10.0.0.3:8080","client":"192.0.2.7:51000","peer":"spiffe://mesh.example/ns/default/sa/web","method":"POST","host":"shop.example","path":"/cart?a=1","protocol":"HTTP/2","tls":"1.3","sni":"shop.example","status":200,"reason":"upstream_reset","policy":null,"grpc_status":14,"duration_ms":12.500,"upstream_connect_ms":1.235,"upstream_ms":9.000,"bytes_received":7,"bytes_sent":12345,"attempts":2,"cut_off":true,"request_id":"0123abcd","trace_id":"0af7651916cd43dd8448eb211c80319c","user_agent":"curl/8.0 \"x\"","referer":"https://a/?token=***"}
                """#)
        withExtendedLifetime((head, response, tls)) {}
    }

    @Test func whatIsNotThereIsNullInJSONAndADashInText() throws {
        let empty = Sample(version: nil)
        empty.record.status = 0
        let text = try line(.json, empty)
        #expect(
            text == #"""
                {"time":"2026-11-24T05:41:57.123Z","listener":null,"route":null,"backend":null,"endpoint":null,"client":null,"peer":null,"method":null,"host":null,"path":null,"protocol":"TCP","tls":null,"sni":null,"status":0,"reason":null,"policy":null,"grpc_status":null,"duration_ms":12.500,"upstream_connect_ms":null,"upstream_ms":null,"bytes_received":0,"bytes_sent":0,"attempts":0,"cut_off":false,"request_id":null,"trace_id":null,"user_agent":null,"referer":null}
                """#)
        _ = try object(text)
        let format = LogField.allCases.map { "{\($0.rawValue)}" }.joined(separator: " ") + " {request:A} {response:B}"
        #expect(
            try line(.text(format: format), empty)
                == "2026-11-24T05:41:57.123Z - - - - - - - - - TCP - - 0 - - - 12.500 - - 0 0 0 false - - - - - -")
    }

    @Test func textSaysWhatItsFormatAsksFor() throws {
        let (names, sample) = full(head, response, tls)
        func text(_ format: String) throws -> String { try line(.text(format: format), sample, names: names) }
        #expect(
            try text(#"{client} [{time}] "{method} {path} {protocol}" {status} {bytes_sent} {duration_ms} {reason}"#)
                == #"192.0.2.7:51000 [2026-11-24T05:41:57.123Z] "POST /cart?a=1 HTTP/2" 200 12345 12.500 upstream_reset"#
        )
        #expect(
            try text("{{{route}}} {sni} {tls} {peer}")
                == "{default/cart} shop.example 1.3 spiffe://mesh.example/ns/default/sa/web")
        #expect(
            try text(#"{request:x-tenant} "{request:X-TENANT}" {request:Nothing}"#) == #"blue\x20team "blue team" -"#)
        #expect(try text("{response:Content-Type} {response:Location}") == "text/html -")
        #expect(try text(#""{user_agent}""#) == #""curl/8.0 \"x\"""#)
        #expect(try text("größe\t{grpc_status}") == "größe\t14")
        withExtendedLifetime((head, response, tls)) {}
    }

    @Test func whatWasRoutedIsLoggedNotWhatWasRewritten() throws {
        let head = requestHead("GET", "shop.example", "/old")
        let routed = Sample()
        routed.record.request = Link(head)
        routed.record.routedPath = head.pathRange
        routed.record.routedAuthority = head.authorityRange
        head.pathRange = head.store(bytes("/new").span)
        head.authorityRange = head.store(bytes("inner").span)
        #expect(try line(.text(format: "{host}{path}"), routed) == "shop.example/old")
        routed.record.routedPath = .empty
        routed.record.routedAuthority = .empty
        #expect(try line(.text(format: "{host}{path}"), routed) == "inner/new")
    }

    @Test func aListenerIsNamedEvenWithoutARoute() throws {
        let names = LoopMetrics()
        let early = Sample(slot: -1, listener: names.listenerSlot("*:80"))
        #expect(try line(.text(format: "{listener} {route}"), early, names: names) == "*:80 -")
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
        ] as [(UInt64, String)])
    func timesAreThoseOfTheCalendar(milliseconds: UInt64, wanted: String) throws {
        let early = Sample()
        early.record.wallTime = milliseconds * 1_000_000
        #expect(try line(.text(format: "{time}"), early) == wanted)
    }

    @Test func roundedMillisecondsCarry() throws {
        let late = Sample()
        late.record.started = Instant(nanoseconds: 0)
        late.record.ended = Instant(nanoseconds: 1_999_999_500)
        #expect(try line(.text(format: "{duration_ms}"), late) == "2000.000")
        late.record.ended = Instant(nanoseconds: 1_499)
        #expect(try line(.text(format: "{duration_ms}"), late) == "0.001")
    }

    @Test func offWritesNothing() throws {
        let format = try AccessLogFormat(.off)
        var log = LogBuffer()
        format.append(Sample().record, names: LoopMetrics(), to: &log)
        #expect(format.isOff && log.isEmpty)
        #expect(try !AccessLogFormat(.json).isOff)
    }

    // MARK: Formats that cannot be

    @Test(arguments: [
        ("{statis}", "did you mean {status}?"), ("{Status}", "did you mean {status}?"),
        ("{duration}", "did you mean {duration_ms}?"), ("{useragent}", "did you mean {user_agent}?"),
        ("{requests:Host}", "the names are"), ("{nonsense_here}", "the names are time, listener"),
        ("{}", "the names are"), ("{ status}", "did you mean {status}?"), ("a } b", "write \"}}\""),
        ("{status", "is not closed"), ("", "it is empty"), ("a\nb", "control character"),
        ("{request:}", "not the name of a header field"), ("{request:a b}", "not the name of a header field"),
        ("{request:Authorization}", "would log secrets"), ("{request:COOKIE}", "would log secrets"),
        ("{response:Set-Cookie}", "would log secrets"), ("{request:Proxy-Authorization}", "would log secrets"),
        ("{request:X-Api-Key}", "would log secrets"), (String(repeating: "a", count: 4097), "longer than 4096"),
    ])
    func aFormatThatCannotBeIsAnErrorThatHelps(format: String, part: String) {
        #expect {
            try AccessLogFormat(.text(format: format))
        } throws: { error in
            "\(error)".hasPrefix("access log format: ") && "\(error)".contains(part)
        }
    }

    @Test func everyNameIsDocumented() throws {
        let page = try documentation("access-log.md")
        let documented = page.matches(of: /\n\| `(\w+)` \| (?:string|number|boolean) \|/).map { String($0.1) }
        #expect(documented == LogField.allCases.map(\.rawValue))
        for header in Redaction.refusedHeaders { #expect(page.contains("`\(header)`"), "\(header)") }
        for parameter in Redaction.secretParameters { #expect(page.contains("`\(parameter)`"), "\(parameter)") }
    }

    // MARK: Secrets

    @Test(arguments: [
        ("/a?access_token=abc&x=1", "/a?access_token=***&x=1"), ("/a?x=1&PassWord=p%20q", "/a?x=1&PassWord=***"),
        ("/a?%74oken=abc", "/a?%74oken=***"), ("/a?%54%4f%4B%45%4e=abc#x", "/a?%54%4f%4B%45%4e=***#x"),
        ("/a?token=", "/a?token="), ("/a?token", "/a?token"), ("/a?tokens=1&mytoken=2", "/a?tokens=1&mytoken=2"),
        ("/a;sig=1;b=2", "/a;sig=***;b=2"), ("/cb#id_token=abc", "/cb#id_token=***"),
        ("/?a=b=c&key=1=2", "/?a=b=c&key=***"),
        ("/?secret=1&secret=2&secret=3", "/?secret=***&secret=***&secret=***"), ("/a?%", "/a?%"), ("/a?%7", "/a?%7"),
        ("/token=abc", "/token=abc"), ("/a??token=abc", "/a??token=***"), ("/a?&&=&token=abc&", "/a?&&=&token=***&"),
        ("*", "*"),
    ])
    func secretsInAQueryAreNotLogged(path: String, wanted: String) throws {
        let head = requestHead("GET", "h", path, [("referer", bytes(path))])
        let secret = Sample()
        secret.record.request = Link(head)
        #expect(
            try line(.text(format: "{path} {referer} {request:Referer}"), secret) == "\(wanted) \(wanted) \(wanted)")
    }

    @Test func aLongValueIsCutAndItsSecretsAreNot() throws {
        let filler = String(repeating: "a", count: 4090)
        let cut = requestHead("GET", "h", "/?\(filler)&token=\(filler)")
        let inside = requestHead("GET", "h", "/?token=\(filler)\(filler)&b=1")
        let long = Sample()
        long.record.request = Link(cut)
        #expect(try line(.text(format: "{path}"), long) == "/?\(filler)&tok...")
        long.record.request = Link(inside)
        #expect(try line(.text(format: "{path}"), long) == "/?token=***...")
        withExtendedLifetime((cut, inside)) {}
    }

    // MARK: Lines that cannot be forged

    @Test func noValueEndsALineOrAString() throws {
        let forged = "x\"}\n{\"status\":500,\"path\":\"/admin\"}\r\u{1b}[2J\u{9b}31m\u{2028}\u{202e}\\"
        let head = requestHead("GET", "h", "/", [("user-agent", bytes(forged))])
        let hostile = Sample()
        hostile.record.request = Link(head)
        let json = try line(.json, hostile)
        #expect(try object(json)["user_agent"] as? String == forged)
        #expect(json.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control && $0 != "\u{202e}" })
        #expect(
            try line(.text(format: "{user_agent}"), hostile)
                == #"x\"}\x0a{\"status\":500,\"path\":\"/admin\"}\x0d\x1b[2J\xc2\x9b31m\xe2\x80\xa8\xe2\x80\xae\\"#)
        let spaced = requestHead("GET", "h", "/", [("user-agent", bytes("a 200 \"b\" 500"))])
        hostile.record.request = Link(spaced)
        #expect(
            try line(.text(format: #"{user_agent} "{user_agent}" {status}"#), hostile)
                == #"a\x20200\x20\"b\"\x20500 "a 200 \"b\" 500" 200"#)
        withExtendedLifetime((head, spaced)) {}
    }

    @Test func anyBytesComeBackFromJSONAndLeaveTextOneLine() throws {
        var random = Random(seed: 42)
        for round in 0..<3000 {
            var value: [UInt8] = []
            for _ in 0..<Int(random.next() % 40) {
                // Random bytes are hardly ever valid UTF-8: mix in scalars, and the bytes that matter most.
                switch random.next() % 4 {
                case 0: value.append(UInt8(truncatingIfNeeded: random.next()))
                case 1: value += Array(#"\"{}\#n\#r\#t -"#.utf8).shuffled(using: &random).prefix(2)
                case 2:
                    let scalar = Unicode.Scalar(UInt32(random.next() % 0x11_0000)) ?? "\u{fffd}"
                    value += Array(String(Character(scalar)).utf8)
                default: value.append(UInt8(32 + random.next() % 95))
                }
            }
            let head = requestHead("GET", "h", "/", [("x-any", value), ("user-agent", value)])
            let hostile = Sample()
            hostile.record.request = Link(head)
            let found = try object(line(.json, hostile))["user_agent"] as? String
            #expect(found == expected(value), "round \(round): \(value)")
            let text = try line(.text(format: #"{request:x-any} "{request:x-any}" {status}"#), hostile)
            // By bytes: a combining character would make one Character with the space before it.
            let columns = text.utf8.split(separator: 0x20, maxSplits: 1, omittingEmptySubsequences: false)
            #expect(columns.count == 2 && columns[1].first == 0x22 && columns[1].suffix(5).elementsEqual("\" 200".utf8))
            #expect(quotesAreClosed(text), "round \(round): \(text)")
            withExtendedLifetime(head) {}
        }
    }

    /// What the JSON form says of `value`: the characters, and `\xHH` for each byte that is not part of one. Written
    /// with the standard library's decoder, which replaces the same bytes one by one or in runs.
    private func expected(_ value: [UInt8]) -> String {
        var result = ""
        var index = 0
        while index < value.count {
            let longest = (1...4).first { length in
                guard index + length <= value.count else { return false }
                return String(validating: value[index..<(index + length)], as: UTF8.self)?.unicodeScalars.count == 1
            }
            if let longest {
                result += String(decoding: value[index..<(index + longest)], as: UTF8.self)
                index += longest
            } else {
                let digits = String(value[index], radix: 16)
                result += "\\x" + (digits.count == 1 ? "0" : "") + digits
                index += 1
            }
        }
        return result
    }

    @Test func utf8IsWhatTheStandardLibrarySaysAtEveryEdge() {
        let seconds: [UInt8] = [0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]
        let rest: [UInt8] = [0x7F, 0x80, 0xBF, 0xC0]
        for first in UInt8(0x80)...0xFF {
            for second in seconds {
                for (third, fourth) in rest.flatMap({ third in rest.map { (third, $0) } }) {
                    let sequence = [first, second, third, fourth]
                    let length = UTF8Sequence.length(sequence.span, at: 0)
                    let wanted = (2...4).first { length in
                        String(validating: sequence.prefix(length), as: UTF8.self)?.unicodeScalars.count == 1
                    }
                    #expect(length == wanted ?? 0, "\(sequence)")
                }
            }
        }
    }

    /// True if quotation marks that no backslash escapes come in pairs.
    private func quotesAreClosed(_ line: String) -> Bool {
        var (open, escaped) = (false, false)
        for byte in line.utf8 {
            if escaped {
                escaped = false
            } else if byte == UInt8(ascii: "\\") {
                escaped = true
            } else if byte == UInt8(ascii: "\"") {
                open.toggle()
            }
        }
        return !open && !escaped
    }

    // MARK: Buffer

    @Test func aFullBufferDropsWholeLinesAndCountsThem() throws {
        let format = try AccessLogFormat(.text(format: "12345678{status}"))
        var log = LogBuffer(limit: 20)
        for _ in 0..<5 { format.append(Sample().record, names: LoopMetrics(), to: &log) }
        #expect(log.takeDropped() == 3)
        #expect(log.takeDropped() == 0)
        #expect(log.count == 24)
        #expect(log.take() == bytes("12345678200\n12345678200\n"))
        #expect(log.isEmpty)
        format.append(Sample().record, names: LoopMetrics(), to: &log)
        var spare = bytes("old")
        log.swap(with: &spare)
        #expect(spare == bytes("12345678200\n"))
        #expect(log.isEmpty)
    }
}
