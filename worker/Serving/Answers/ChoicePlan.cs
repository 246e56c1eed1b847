using System.Collections.Immutable;
using Distributed.Engine.Sampling;
using Distributed.Engine.Serving;

namespace Distributed.Worker.Serving.Answers;

/// <summary>One choice of an answer, before it is run.</summary>
/// <param name="IsFirst">Whether it is the first of those that share its prompt, which counts once.</param>
/// <param name="Request">What the model is asked for.</param>
/// <param name="Stop">Texts before the first of which it ends.</param>
/// <param name="Echo">The tokens of the prompt that the text begins with; empty for none.</param>
/// <param name="ContinuesPrompt">Whether the text goes on where the prompt ends, or is one of its own, as an answer to a dialog is.</param>
/// <param name="WithTokens">Whether its tokens are told beside its text.</param>
/// <param name="Constrain">Makes the request's constraint anew, at its beginning.</param>
internal sealed record ChoicePlan(
    bool IsFirst,
    InferenceRequest Request,
    ImmutableArray<string> Stop,
    ImmutableArray<int> Echo,
    bool ContinuesPrompt,
    bool WithTokens,
    Func<TokenConstraint?> Constrain)
{
    /// <summary>The request that goes on behind the tokens that another scheduler has reported.</summary>
    public InferenceRequest Resume(InferenceRequest resumption)
    {
        var constraint = Constrain();
        foreach (var tokenId in resumption.Generated.AsSpan())
        {
            constraint?.Accept(tokenId);
        }

        return resumption with { Constraint = constraint };
    }
}
