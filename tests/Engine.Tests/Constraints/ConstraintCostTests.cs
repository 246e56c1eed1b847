using System.Text;
using System.Text.Json;
using Distributed.Engine.Constraints;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>What masks cost, counted in visited nodes of the tokens' tree, with as many tokens as Llama 3 has.</summary>
public sealed class ConstraintCostTests
{
    private static readonly Lazy<TokenTrie> Large = new(() =>
    {
        var random = new Random(7);
        const string Letters = " etaoinshrdlucmfwypvbgkjqxz.,\"}]:{[0123456789\n";
        var words = Enumerable.Range(0, 128_000).Select(_ => new string([.. Enumerable.Range(0, 2 + random.Next(8)).Select(_ => Letters[random.Next(Letters.Length)])]));
        return new TokenTrie(new PieceTokenizer([.. PieceTokenizer.Bytes, .. words.Distinct().Select(Encoding.UTF8.GetBytes)]));
    });

    [Fact]
    public void FillMask_SecondStringElsewhere_LooksOnlyAtTokensThatLeaveIt()
    {
        var machine = new ConstraintMachine(SchemaCompiler.CompileAnyObject(asciiOnly: false), Large.Value);
        var first = Cost(machine, "{\"a\":\"b");
        var second = Cost(machine, "{\"a\":[{\"b\":{\"c\":[[\"d");
        var third = Cost(machine, "{\"a\":[{\"b\":{\"c\":[[\"d e f");

        Assert.True(first > Large.Value.NodeCount / 3, $"{first} of {Large.Value.NodeCount}"); // the test measures something
        Assert.True(second < Large.Value.NodeCount / 5, $"{second} of {Large.Value.NodeCount}");
        Assert.Equal(0, third); // the same place
    }

    [Fact]
    public void FillMask_LongBoundedString_CostsNoMoreFarFromItsEnds()
    {
        using var schema = JsonDocument.Parse("""{"type":"string","minLength":1000,"maxLength":100000}""");
        var machine = new ConstraintMachine(SchemaCompiler.Compile(schema.RootElement, asciiOnly: false), Large.Value);

        Cost(machine, "\"" + new string('x', 10));
        Assert.Equal(0, Cost(machine, "\"" + new string('x', 700)));
        Cost(machine, "\"" + new string('x', 2_000));
        Assert.True(Cost(machine, "\"" + new string('x', 20_000)) < Large.Value.NodeCount / 5);
    }

    [Fact]
    public void Accept_MoreStatesThanAreKept_GoesOn()
    {
        using var schema = JsonDocument.Parse("""{"type":"string","maxLength":100000}""");
        var compiler = new ConstraintCompiler(PieceTokenizer.Json);
        var (first, second) = (compiler.JsonSchema(schema.RootElement), compiler.JsonSchema(schema.RootElement)); // of one machine
        first.Accept(1 + '"');
        second.Accept(1 + '"');
        for (var count = 0; count < 100_000; count++)
        {
            first.Accept(1 + 'x');
        }

        Assert.Equal([1 + '"'], Vocabulary.Allowed(first).Where(id => PieceTokenizer.Json.BytesOf(id).Length == 1));
        second.Accept(1 + 'y');
        second.Accept(1 + '"');
        Assert.True(second.CanEnd);
        first.Accept(1 + '"');
        Assert.True(first.CanEnd);
    }

    // Nodes visited for the mask behind a text.
    private static long Cost(ConstraintMachine machine, string text)
    {
        var (configuration, generation) = machine.Start();
        foreach (var value in text)
        {
            configuration = machine.Accept(configuration, 1 + value, ref generation)!; // not null: the texts are valid
        }

        var before = machine.VisitedNodeCount;
        machine.FillMask(configuration, new ulong[machine.MaskLength], ref generation);
        return machine.VisitedNodeCount - before;
    }
}
