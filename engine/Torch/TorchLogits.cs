using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>
/// Norm and this rank's slice of the logits, and what rank 0 needs to know of them: maxima, sums and the greatest candidates are found on the device, and
/// only these come to the host, whole rows where they are asked for.
/// </summary>
/// <remarks>
/// With <see cref="TorchPrecision.Medium"/> each logit is rounded to 8 or 11 bits, with which neighbours become equal. So the rows of the output layer that
/// belong to the candidates are multiplied once more in float32: the best token, the candidates and the target have the logits of the exact weights.
/// </remarks>
internal sealed class TorchLogits : IDisposable
{
    // Logits of a slice of rows: 256 MiB at most.
    private const long MaxLogitCount = 64L << 20;

    // Found values of a row: maximum, sum, scaled sum, target's logit; then the candidates' logits and their tokens.
    private const int FixedCount = 4;

    private readonly RankShard _shard;
    private readonly TorchDevice _device;
    private readonly Tensor _norm;
    private readonly TorchLinear _output;
    private readonly TorchTransfer _row;
    private readonly int _candidateCount;
    private readonly Tensor?[] _kept; // [output] of the last step
    private readonly int[] _order;

    public TorchLogits(RankShard shard, TorchDevice device, Tensor norm, TorchLinear output)
    {
        (_shard, _device, _norm, _output) = (shard, device, norm, output);
        _row = new TorchTransfer(device, 1, shard.Plan.MaxVocabularyCount);
        _candidateCount = Math.Min(LogitsPiece.MaxCandidateCount, shard.Plan.Vocabulary.Count);
        _kept = new Tensor?[shard.Options.MaxTokensPerStep];
        _order = new int[_candidateCount];
    }

    /// <summary>Forgets the rows of the last step.</summary>
    public void BeginStep()
    {
        for (var output = 0; output < _kept.Length; output++)
        {
            _kept[output]?.Dispose();
            _kept[output] = null;
        }
    }

    /// <summary>Writes the pieces of all outputs of a step.</summary>
    /// <param name="command">The step.</param>
    /// <param name="hidden">[token, dimension], of all its tokens.</param>
    /// <param name="pieces">Receives them.</param>
    /// <returns>Whether all logits were finite.</returns>
    public bool Run(StepCommand command, Tensor hidden, StepPieces pieces)
    {
        var isFinite = true;
        var rows = (int)Math.Clamp(MaxLogitCount / _shard.Plan.Vocabulary.Count, 1, 512);
        for (var start = 0; start < command.Outputs.Length; start += rows)
        {
            using var scope = NewDisposeScope();
            isFinite &= RunRows(command, start, Math.Min(rows, command.Outputs.Length - start), hidden, pieces);
        }

        return isFinite;
    }

    /// <summary>This rank's slice of a kept row: [longest slice of any rank].</summary>
    public ReadOnlySpan<float> KeptRow(int output)
    {
        using var target = _kept[output]!.view(1, -1);
        return ReadRow(target);
    }

    public void Dispose()
    {
        BeginStep();
        _row.Dispose();
    }

    private bool RunRows(StepCommand command, int start, int count, Tensor hidden, StepPieces pieces)
    {
        var outputs = command.Outputs.Slice(start, count);
        var (tokens, targets, temperatures) = (new long[count], new long[count], new float[count]);
        var (wantsCandidates, isScaled) = (false, false);
        for (var row = 0; row < count; row++)
        {
            var target = outputs[row].TargetTokenId - _shard.Plan.Vocabulary.Start;
            tokens[row] = outputs[row].TokenIndex;
            targets[row] = target >= 0 && target < _shard.Plan.Vocabulary.Count ? target : 0;
            temperatures[row] = outputs[row].Temperature == 0 ? 1 : outputs[row].Temperature;
            wantsCandidates |= outputs[row].Detail != LogitsDetail.Best;
            isScaled |= outputs[row].Temperature != 0;
        }

        var input = TorchMath.RmsNorm(hidden.index_select(0, tensor(tokens, device: _device.Device)), _norm, _shard.Config.NormEpsilon);
        var (found, logits) = Find(input, _output.Multiply(input), targets, isScaled ? temperatures : null, wantsCandidates);
        found = found.cpu();
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(found.bytes);
        var width = values.Length / count;
        var isFinite = true;
        for (var row = 0; row < count; row++)
        {
            isFinite &= Write(start + row, outputs[row], values.Slice(row * width, width), logits, row, pieces);
        }

        return isFinite;
    }

    // What the rows come to, [row, FixedCount + 2 x candidates], and the rows, exact where that matters; on the device.
    private (Tensor Found, Tensor Logits) Find(Tensor input, Tensor logits, long[] targets, float[]? temperatures, bool wantsCandidates)
    {
        var isRounded = _device.WeightType != ScalarType.Float32 && _device.Precision == TorchPrecision.Medium;
        var count = wantsCandidates || isRounded ? _candidateCount : 1;
        var (greatest, indices) = count == 1 ? logits.max(1, keepdim: true) : logits.topk(count, 1);
        var target = tensor(targets, [targets.Length, 1], device: _device.Device);
        if (isRounded)
        {
            // No other logit is greater than those of the candidates, as rank 0 relies on.
            var exact = Exact(input, cat(new[] { indices, target }, 1));
            greatest = exact.narrow(1, 0, count);
            logits = logits.minimum(greatest.amin([1], keepdim: true));
            _ = logits.scatter_(1, target, exact.narrow(1, count, 1));
            _ = logits.scatter_(1, indices, greatest);
        }

        var maximum = greatest.amax([1], keepdim: true);
        var shifted = logits.sub(maximum);
        var sum = shifted.exp().sum(1, keepdim: true);
        var scaled = temperatures is null
            ? sum
            : shifted.div(tensor(temperatures, [temperatures.Length, 1], device: _device.Device)).exp().sum(1, keepdim: true);
        return (cat(new[] { maximum, sum, scaled, logits.gather(1, target), greatest, indices.to_type(ScalarType.Float32) }, 1), logits);
    }

    // The logits of some tokens of each row, [row, n], with the weights widened.
    private Tensor Exact(Tensor input, Tensor tokens)
    {
        var (rowCount, count) = (tokens.shape[0], tokens.shape[1]);
        var parts = new Tensor[rowCount];
        for (var row = 0; row < rowCount; row++)
        {
            parts[row] = _output.Rows(tokens.select(0, row)).mv(input.select(0, row)).view(1, count);
        }

        return parts.Length == 1 ? parts[0] : cat(parts, 0);
    }

    // Returns whether the row's logits were finite.
    private bool Write(int output, StepOutput wanted, ReadOnlySpan<float> found, Tensor logits, int row, StepPieces pieces)
    {
        var plan = _shard.Plan;
        var piece = pieces.At(output, wanted.Detail);

        // The device sums the slice as one group; the others add nothing, and no maximum of theirs is greater.
        var groups = piece.Groups;
        groups.Fill(new LogitsGroup(found[0], 0, 0));
        groups[0] = new LogitsGroup(found[0], found[1], wanted.Temperature == 0 ? 0 : found[2]);
        var count = (found.Length - FixedCount) / 2;
        var logitsOf = found.Slice(FixedCount, count);
        var indices = found.Slice(FixedCount + count, count);
        Sort(logitsOf, indices);
        piece.Summary = new SliceSummary(plan.Vocabulary.Start + (int)indices[_order[0]], logitsOf[_order[0]], wanted.TargetTokenId < 0 ? 0 : found[3]);
        if (wanted.Detail != LogitsDetail.Best)
        {
            var candidates = piece.Candidates;
            for (var i = 0; i < candidates.Length; i++)
            {
                candidates[i] = i < count
                    ? new LogitCandidate(plan.Vocabulary.Start + (int)indices[_order[i]], logitsOf[_order[i]])
                    : LogitCandidate.None;
            }
        }

        if (wanted.Detail >= LogitsDetail.Candidates)
        {
            _kept[output] = logits.select(0, row).clone().DetachFromDisposeScope();
        }

        if (wanted.Detail == LogitsDetail.FullRow)
        {
            KeptRow(output)[..plan.Vocabulary.Count].CopyTo(piece.Row);
        }

        return float.IsFinite(found[0]) && float.IsFinite(found[1]);
    }

    // _order: the candidates by descending logit, equal ones by ascending token.
    private void Sort(ReadOnlySpan<float> logits, ReadOnlySpan<float> tokens)
    {
        for (var i = 0; i < logits.Length; i++)
        {
            var place = i;
            for (; place > 0 && Precedes(logits, tokens, i, _order[place - 1]); place--)
            {
                _order[place] = _order[place - 1];
            }

            _order[place] = i;
        }
    }

    private static bool Precedes(ReadOnlySpan<float> logits, ReadOnlySpan<float> tokens, int left, int right)
        => logits[left] > logits[right] || (logits[left] == logits[right] && tokens[left] < tokens[right]);

    private ReadOnlySpan<float> ReadRow(Tensor row)
    {
        var length = (int)row.shape[1];
        if (length == _shard.Plan.MaxVocabularyCount)
        {
            return _row.Download(row);
        }

        using var padded = zeros(1, _shard.Plan.MaxVocabularyCount, dtype: ScalarType.Float32, device: _device.Device);
        using var place = padded.narrow(1, 0, length);
        using var copied = place.copy_(row);
        return _row.Download(padded);
    }
}
