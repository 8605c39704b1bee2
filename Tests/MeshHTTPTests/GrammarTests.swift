import MeshHTTP
import Testing

@Suite struct GrammarTests {
    @Test(arguments: [
        ("application/grpc", true), ("Application/GRPC+proto", true), ("application/grpc; a=b", true),
        ("application/grp", false), ("", false), ("text/application/grpc", false),
    ])
    func contentTypesOfGRPC(value: String, isGRPC: Bool) {
        #expect(Grammar.isGRPC(contentType: Array(value.utf8).span) == isGRPC)
    }
}
