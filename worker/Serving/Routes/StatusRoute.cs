using System.Diagnostics;
using Distributed.Engine.Serving;
using Distributed.Worker.Output;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Hosting;
using Distributed.Worker.Serving.Page;
using Distributed.Worker.Serving.Responses;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Routes;

/// <summary><c>GET /status</c>: what the page draws. 503 while the model is being loaded.</summary>
internal sealed class StatusRoute(ServedModel model, ServerState state)
{
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly Lock _gate = new();
    private RankFigures? _figures;

    public async Task SendAsync(HttpContext context)
    {
        if (state.Scheduler is not { } scheduler)
        {
            throw state.Refusal()!; // there is one before the model is loaded
        }

        var figures = Figures(scheduler);
        await figures.RefreshAsync();
        var snapshot = scheduler.Snapshot();
        await JsonResponse.SendAsync(context.Response, json =>
        {
            json.WriteStartObject();
            json.WritePlain("model", model.Name);
            json.WriteBoolean("chat", model.HasChatTemplate);
            json.WriteNumber("max_model_len", model.Limits.MaxSequenceLength);
            json.WriteNumber("world_size", state.WorldSize);
            json.WriteString("transport", state.Transport);
            json.WriteNumber("uptime", Math.Round(Stopwatch.GetElapsedTime(_started).TotalSeconds, 1));
            json.WriteNumber("tokens_per_second", Math.Round(figures.TokensPerSecond, 2));
            json.WriteNumber("running", snapshot.RunningRequests);
            json.WriteNumber("waiting", snapshot.WaitingRequests);
            json.WriteNumber("slots", snapshot.SlotCount);
            json.WriteNumber("blocks_used", snapshot.UsedBlocks);
            json.WriteNumber("blocks_cached", snapshot.CachedBlocks);
            json.WriteNumber("blocks_total", snapshot.TotalBlocks);
            json.WriteStartArray("ranks");
            foreach (var (rank, figure) in figures.Ranks.Index())
            {
                json.WriteStartObject();
                json.WriteNumber("rank", rank);
                json.WriteNumber("resident_bytes", figure.ResidentByteCount);
                json.WriteNumber("step_ms", Math.Round(figure.StepMilliseconds, 3));
                json.WriteNumber("wait_ms", Math.Round(figure.WaitMilliseconds, 3));
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private RankFigures Figures(InferenceScheduler scheduler)
    {
        lock (_gate)
        {
            return _figures ??= new RankFigures(scheduler);
        }
    }
}
