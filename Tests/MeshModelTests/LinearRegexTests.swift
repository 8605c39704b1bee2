import MeshModel
import Testing

@Suite struct LinearRegexTests {
    /// Written out, these were as many steps as the repetitions multiply to: none of them ended.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "((((){1000}){1000}){1000}){1000}a", "(((a{0}){1000}){1000}){1000}a",
            "((((|){1000}|){1000}|){1000}){1000}a",
        ])
    func nothingRepeatedManyTimesIsNothing(pattern: String) throws {
        let regex = try LinearRegex(pattern)
        #expect(regex.matches("a"))
        #expect(!regex.matches(""))
        #expect(!regex.matches("aa"))
    }

    @Test func anEmptyBranchMatchesNothingAtAll() throws {
        let regex = try LinearRegex("x(?:|a||b|)y")
        #expect(regex.matches("xy"))
        #expect(regex.matches("xay"))
        #expect(regex.matches("xby"))
        #expect(!regex.matches("xaby"))
    }
}
